package driver

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"showrunner/problem"
)

// Sequences is how many versions of a cluster may exist at once: v000 to v999.
const Sequences = 1000

var (
	clusterName = regexp.MustCompile(`^[A-Za-z0-9._]+(-[A-Za-z0-9._]+|-[A-Za-z0-9._]*-[A-Za-z0-9._-]*[A-Za-z0-9._])?$`)
	sequence    = regexp.MustCompile(`^(.+)-v([0-9]{3})$`)
)

// CheckCluster refuses names that are not app[-stack[-detail]]: app and stack
// consist of letters, digits, dot and underscore; the detail may also have
// hyphens; an empty stack before a detail leaves two hyphens in a row. A name
// that ends like a server group's (-v000) is refused because it could be confused
// with a server group's name.
func CheckCluster(name string) error {
	const op = "cloud.cluster"
	if !clusterName.MatchString(name) || len(name) > 128 || strings.Trim(name, ".") == "" {
		return problem.New(problem.Invalid, op, "%q is not a valid name of a cluster", name).
			WithHelp("use app[-stack[-detail]] of letters, digits, '.' and '_'; the detail may hold '-'")
	}
	if sequence.MatchString(name) {
		return problem.New(problem.Invalid, op, "cluster %q ends like a server group's version", name).
			WithHelp("choose a name that does not end in -v and three digits")
	}
	return nil
}

// ServerGroupName is the cluster's name with its sequence number, such as app-prod-v007.
func ServerGroupName(cluster string, seq int) string { return fmt.Sprintf("%s-v%03d", cluster, seq) }

// ParseServerGroup splits a server group's name into cluster and sequence.
func ParseServerGroup(name string) (cluster string, seq int, ok bool) {
	m := sequence.FindStringSubmatch(name)
	if m == nil || CheckCluster(m[1]) != nil {
		return "", 0, false
	}
	seq, _ = strconv.Atoi(m[2])
	return m[1], seq, true
}

// NextSequence is the number of a cluster's next server group: one more than the
// last created number (even if that group is gone; nil when no group was ever
// created), with v000 after v999, skipping taken numbers. Spinnaker's Frigga
// counts the same way.
func NextSequence(cluster string, last *int, taken func(seq int) bool) (int, error) {
	next := 0
	if last != nil {
		next = (*last + 1) % Sequences
	}
	for range Sequences {
		if !taken(next) {
			return next, nil
		}
		next = (next + 1) % Sequences
	}
	return 0, problem.New(problem.Conflict, "cloud.create", "cluster %s has used all %d version numbers", cluster, Sequences).
		WithHelp("destroy server groups that are no longer needed")
}

var (
	siteName  = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	doubleDot = regexp.MustCompile(`\.\.|\.-|-\.`)
)

// CheckSiteName applies the rules of bucket names to a site's name, since it
// becomes the name of a bucket, and of a host.
func CheckSiteName(site string) error {
	if siteName.MatchString(site) && !doubleDot.MatchString(site) {
		return nil
	}
	return problem.New(problem.Invalid, "cloud.site", "%q is not a valid name of a site", site).
		WithHelp("a site's name is 3 to 63 lower-case letters, digits, dots and hyphens, beginning and ending with a letter or digit")
}
