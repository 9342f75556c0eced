package trigger

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"showrunner/pipeline"
	"showrunner/source"
)

// verdict is a decision and its reason, for people.
type verdict struct {
	yes    bool
	reason string
}

func mismatch(format string, args ...any) verdict {
	return verdict{false, fmt.Sprintf(format, args...)}
}

// matchPush decides whether a push matches a trigger. A trigger without branches
// and tags matches every branch and no tag.
func matchPush(t pipeline.PushTrigger, p Push) verdict {
	if t.Repository != "" && !isRepository(t.Repository, p) {
		return mismatch("the trigger is for %s, the push is to %s", t.Repository, first(p.Repository, strings.Join(p.URLs, ", ")))
	}
	if p.Deleted {
		return mismatch("%s was deleted", p.Ref)
	}
	if v := matchRef(t.Branches, t.Tags, p.Branch, p.Tag, p.Ref); !v.yes {
		return v
	}
	return matchPaths(t.Paths, p.Paths, p.PathsUnknown)
}

func isRepository(want string, p Push) bool {
	if source.SameRepository(want, p.Repository) {
		return true
	}
	return slices.ContainsFunc(p.URLs, func(u string) bool { return source.SameRepository(want, u) })
}

func matchRef(branches, tags []string, branch, tag, ref string) verdict {
	switch {
	case branch == "" && tag == "":
		return mismatch("%s is neither a branch nor a tag", ref)
	case tag != "" && len(tags) == 0:
		return mismatch("the trigger names no tags")
	case tag != "" && !matchAny(tags, tag):
		return mismatch("tag %s is not among %s", tag, strings.Join(tags, ", "))
	case branch != "" && len(branches) == 0 && len(tags) > 0:
		return mismatch("the trigger names tags only")
	case branch != "" && len(branches) > 0 && !matchAny(branches, branch):
		return mismatch("branch %s is not among %s", branch, strings.Join(branches, ", "))
	}
	return verdict{yes: true}
}

// matchPaths decides by the changed files. When not all changed files are known,
// the pipeline starts rather than miss a change.
func matchPaths(globs, paths []string, unknown string) verdict {
	if len(globs) == 0 {
		return verdict{yes: true}
	}
	if slices.ContainsFunc(paths, func(p string) bool { return matchAny(globs, p) }) {
		return verdict{yes: true}
	}
	if unknown != "" {
		return verdict{true, "taken as a match: " + unknown}
	}
	return mismatch("none of the %d changed paths is among %s", len(paths), strings.Join(globs, ", "))
}

// matchAny decides by the last glob that matches; a glob that begins with "!"
// excludes. When all globs exclude, every name that none excludes matches. "*"
// stops at a slash, "**" does not.
func matchAny(globs []string, name string) bool {
	in := !slices.ContainsFunc(globs, func(g string) bool { return !strings.HasPrefix(g, "!") })
	for _, g := range globs {
		pattern, exclude := strings.CutPrefix(g, "!")
		if ok, err := doublestar.Match(pattern, name); err == nil && ok {
			in = !exclude
		}
	}
	return in
}
