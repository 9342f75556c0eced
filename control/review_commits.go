package control

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
)

// Commit is a commit in a list.
type Commit struct {
	Commit  string    `json:"commit"`
	Subject string    `json:"subject"`
	Author  string    `json:"author"`
	Date    time.Time `json:"date"` // when it was authored
}

// CommitsBetween is how two commits stand to each other, both lists newest first.
type CommitsBetween struct {
	From    string   `json:"from"`              // the first commit, in full
	Added   []Commit `json:"added,omitempty"`   // in the second one, and not in the first
	Removed []Commit `json:"removed,omitempty"` // in the first one, and not in the second
	// Partial: more lies between than was looked at, so the lists are not whole.
	Partial bool `json:"partial,omitempty"`
	// Files are those that differ between the two, FilesMore how many there are besides.
	Files     []FileChange `json:"files,omitempty"`
	FilesMore int          `json:"filesMore,omitempty"`
}

// FileChange is a file that differs between two commits.
type FileChange struct {
	Path string `json:"path"`
	From string `json:"from,omitempty"` // its path before, where that is another one
	// Added and Removed count lines; both are 0 of a binary file.
	Added   int    `json:"added"`
	Removed int    `json:"removed"`
	Binary  bool   `json:"binary,omitempty"`
	Patch   string `json:"patch,omitempty"` // the changed lines with those around them
	Cut     bool   `json:"cut,omitempty"`   // the patch is longer than what is here
}

// Lines is how many lines of the files that are listed are added, and how many removed.
func (c CommitsBetween) Lines() (added, removed int) {
	for _, f := range c.Files {
		added, removed = added+f.Added, removed+f.Removed
	}
	return added, removed
}

// ReviewCommits is what lies between a commit that is live and the commit that an
// approval lets be delivered: Added comes, Removed is taken back.
type ReviewCommits struct {
	CommitsBetween
	Where []string `json:"where"` // it is live: "storefront-prod in eu-west-1, us-west-2"
	// Unknown says why nothing is listed.
	Unknown string `json:"unknown,omitempty"`
}

// is tells whether an entry is about a commit, which may be short.
func (c ReviewCommits) is(commit string) bool {
	return commit != "" && strings.HasPrefix(c.From, commit)
}

// addPlace notes that the commit is live in a region of a target.
func (c *ReviewCommits) addPlace(target, region string) {
	for i, where := range c.Where {
		regions, same := strings.CutPrefix(where, target+" in ")
		switch {
		case !same:
			continue
		case !slices.Contains(strings.Split(regions, ", "), region):
			c.Where[i] += ", " + region
		}
		return
	}
	c.Where = append(c.Where, target+" in "+region)
}

// warning says that something newer is live; "" where it is not.
func (c ReviewCommits) warning() string {
	if len(c.Removed) == 0 {
		return ""
	}
	live := fmt.Sprintf("%s is live as %s", execution.ShortCommit(c.From), strings.Join(c.Where, " and "))
	n := fmt.Sprintf("%d commits", len(c.Removed))
	if len(c.Removed) == 1 {
		n = "1 commit"
	}
	switch {
	case c.Partial:
		return live + ", and has commits that this execution lacks: approving takes them back"
	case len(c.Added) == 0:
		return fmt.Sprintf("%s, and is newer by %s: approving takes back what came since", live, n)
	}
	return fmt.Sprintf("%s, and has %s that this execution lacks: approving takes back what they changed", live, n)
}

// reviewWithin bounds the fetching of history for a review. Usually the mirror has it.
const reviewWithin = 5 * time.Second

// liveCommit is the commit of what is live, short where it was rolled back to; "" where
// that is not known.
func liveCommit(d Live) string {
	if d.Revision != nil && d.Revision.Commit != "" {
		return d.Revision.Commit
	}
	if commitLike.MatchString(d.Version) {
		return d.Version
	}
	return ""
}

var commitLike = regexp.MustCompile(`^[0-9a-f]{7,64}$`)

// reviewCommits lists what lies between the commits that are live where stages deliver
// something, and the commit of an execution.
func (s *Service) reviewCommits(ctx context.Context, e execution.Execution, next []ReviewStage) []ReviewCommits {
	var list []ReviewCommits
	for _, r := range next {
		if r.Kind == "rollback" {
			continue
		}
		for _, d := range r.Live {
			commit := liveCommit(d)
			i := slices.IndexFunc(list, func(c ReviewCommits) bool { return c.is(commit) || c.From == commit })
			if i < 0 {
				i = len(list)
				list = append(list, ReviewCommits{CommitsBetween: CommitsBetween{From: commit}})
			}
			list[i].addPlace(r.Target, d.Region)
		}
	}
	if len(list) == 0 {
		return nil
	}
	g, to, unknown := sourceOf(e)
	if s.Repositories == nil && unknown == "" {
		unknown = "no repository is read here"
	}
	bounded, cancel := context.WithTimeoutCause(ctx, reviewWithin, fmt.Errorf("the repository has not answered within %s", reviewWithin))
	defer cancel()
	var out []ReviewCommits
	for _, c := range list {
		var err error
		switch {
		case unknown != "":
			c.Unknown = unknown
		case c.From == "":
			c.Unknown = "the commit of what is live is not known"
		default:
			var between CommitsBetween
			if between, err = s.Repositories.CommitsBetween(bounded, g, c.From, to); err != nil {
				c.Unknown = problem.Text(err)
			} else {
				c.CommitsBetween = between
			}
		}
		// A commit that was known by its first digits alone may turn out to be listed.
		if i := slices.IndexFunc(out, func(o ReviewCommits) bool { return c.Unknown == "" && o.Unknown == "" && o.From == c.From }); i >= 0 {
			out[i].Where = append(out[i].Where, c.Where...)
			continue
		}
		out = append(out, c)
	}
	return out
}

// sourceOf is the git stage that an execution's commit comes from, and the commit.
func sourceOf(e execution.Execution) (g pipeline.Git, commit, unknown string) {
	if e.Definition == nil {
		return g, "", "the definition of the execution is not kept"
	}
	scope := scopeOfExecution(e)
	for _, def := range e.Definition.Stages {
		if def.Kind != "git" {
			continue
		}
		commit, _ := scope.Stages[def.Name].Outputs["commit"].(string)
		if commit == "" {
			return g, "", "stage " + def.Name + " has not fetched a commit yet"
		}
		config, err := pipeline.Resolve(def, scope)
		if err != nil {
			return g, "", problem.Text(err)
		}
		return config.(pipeline.Git), commit, ""
	}
	return g, "", "the pipeline has no git stage"
}
