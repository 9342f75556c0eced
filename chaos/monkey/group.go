package monkey

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Cluster is a cluster of an application in one region of an account.
type Cluster struct {
	Application string `json:"application"`
	Account     string `json:"account"`
	Region      string `json:"region"`
	Name        string `json:"cluster"` // application[-stack[-detail]]
	Stack       string `json:"stack,omitempty"`
	Detail      string `json:"detail,omitempty"`
	Instances   int    `json:"-"` // that can be chosen
}

// NewCluster takes the stack and the detail from the cluster's name.
func NewCluster(application, account, region, name string) Cluster {
	parts := strings.SplitN(name, "-", 3)
	c := Cluster{Application: application, Account: account, Region: region, Name: name}
	if len(parts) > 1 {
		c.Stack = parts[1]
	}
	if len(parts) > 2 {
		c.Detail = parts[2]
	}
	return c
}

// protectedSuffixes end the names of clusters that exist for a comparison.
var protectedSuffixes = []string{"-canary", "-baseline", "-citrus", "-citrusproxy"}

// Protected says why no instance of a cluster may be chosen, "" when one may.
func (s Settings) Protected(c Cluster) string {
	for _, suffix := range protectedSuffixes {
		if strings.HasSuffix(c.Name, suffix) {
			return "its name ends in " + suffix + ": it is compared with another version"
		}
	}
	for i, e := range s.Exceptions {
		if e.matches(c) {
			return fmt.Sprintf("exception %d matches it (%s)", i+1, e)
		}
	}
	return ""
}

// Group is what loses at most one instance a day. A blank region or cluster means
// any. A blank stack means any, except under the grouping by stack, where it is the
// clusters that have none.
type Group struct {
	Grouping    Grouping `json:"grouping"`
	Application string   `json:"application"`
	Account     string   `json:"account"`
	Region      string   `json:"region,omitempty"`
	Stack       string   `json:"stack,omitempty"`
	Cluster     string   `json:"cluster,omitempty"`
}

// String is the group's name for people, and its key in a schedule.
func (g Group) String() string {
	parts := []string{g.Application, "account=" + g.Account}
	if g.Region != "" {
		parts = append(parts, "region="+g.Region)
	}
	switch g.Grouping {
	case Stack:
		parts = append(parts, "stack="+g.Stack)
	case ByCluster:
		parts = append(parts, "cluster="+g.Cluster)
	}
	return strings.Join(parts, " ")
}

// Has tells whether a cluster belongs to the group.
func (g Group) Has(c Cluster) bool {
	switch {
	case g.Application != c.Application || g.Account != c.Account || g.Region != "" && g.Region != c.Region:
		return false
	case g.Grouping == Stack:
		return g.Stack == c.Stack
	case g.Grouping == ByCluster:
		return g.Cluster == c.Name
	}
	return true
}

// Groups are the groups that the clusters form, each once, in a stable order.
// Exceptions are not applied here: a group whose clusters are all protected finds
// nobody to choose.
func (s Settings) Groups(clusters []Cluster) []Group {
	var groups []Group
	for _, c := range clusters {
		g := Group{Grouping: s.Grouping, Application: c.Application, Account: c.Account}
		if s.RegionsAreIndependent {
			g.Region = c.Region
		}
		switch s.Grouping {
		case Stack:
			g.Stack = c.Stack
		case ByCluster:
			g.Cluster = c.Name
		}
		if !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	slices.SortFunc(groups, func(a, b Group) int { return cmp.Compare(a.String(), b.String()) })
	return groups
}
