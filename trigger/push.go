package trigger

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"showrunner/problem"
)

// Push is a push of a branch or tag, in the same form for every provider.
type Push struct {
	Provider    string
	Repository  string   // owner/name
	URLs        []string // clone addresses of the repository; the first is preferred
	Ref         string
	Branch, Tag string // one of them is set when Ref is a branch or a tag
	Commit      string // the commit that the ref points to now; for an annotated tag its commit, when the provider sends it
	Before      string
	Message     string
	Actor       string
	Email       string
	Deleted     bool
	Paths       []string // changed, sorted
	// PathsUnknown says why Paths may be incomplete; empty when Paths is
	// complete.
	PathsUnknown string

	after  string // as delivered
	pushed string // the provider's time of the push, if it sends one
}

// eventID is the identity of the push itself: it is the same for all hooks and
// deliveries of the push. A ref that goes from A to B, back, and to B again makes
// two pushes. Where the provider sends no time of the push, both have one
// identity, and the second counts as a redelivery.
func (p Push) eventID() string {
	id := p.Repository + " " + p.Ref + " " + p.Before + ".." + p.after
	if p.pushed != "" {
		id += " " + p.pushed
	}
	return id
}

// values are the values of trigger.* in expressions.
func (p Push) values() map[string]any {
	v := map[string]any{"kind": "push", "id": p.eventID(), "repository": p.Repository, "url": "", "ref": p.Ref, "branch": p.Branch, "tag": p.Tag,
		"commit": p.Commit, "before": p.Before, "message": p.Message, "actor": p.Actor, "email": p.Email}
	if len(p.URLs) > 0 {
		v["url"] = p.URLs[0]
	}
	const shown = 1000
	paths := make([]any, 0, min(len(p.Paths), shown))
	for _, path := range p.Paths[:min(len(p.Paths), shown)] {
		paths = append(paths, path)
	}
	v["paths"] = paths
	return v
}

// payload has the fields that GitHub, GitLab, Gitea and Forgejo send; where the
// forges differ, it has the fields of each.
type payload struct {
	ObjectKind  string `json:"object_kind"` // GitLab
	Ref         string `json:"ref"`
	Before      string `json:"before"`
	After       string `json:"after"`
	CheckoutSHA string `json:"checkout_sha"` // GitLab
	Deleted     bool   `json:"deleted"`
	Forced      bool   `json:"forced"`
	Commits     []struct {
		ID       string   `json:"id"`
		Message  string   `json:"message"`
		Added    []string `json:"added"`
		Removed  []string `json:"removed"`
		Modified []string `json:"modified"`
	} `json:"commits"`
	HeadCommit *struct {
		ID      string `json:"id"`
		Message string `json:"message"`
	} `json:"head_commit"`
	TotalCommits      *int `json:"total_commits"`       // Gitea, Forgejo
	TotalCommitsCount *int `json:"total_commits_count"` // GitLab
	Repository        struct {
		FullName string          `json:"full_name"`
		CloneURL string          `json:"clone_url"`
		SSHURL   string          `json:"ssh_url"`
		GitURL   string          `json:"git_url"`
		HTMLURL  string          `json:"html_url"`
		PushedAt json.RawMessage `json:"pushed_at"`
	} `json:"repository"`
	Project struct { // GitLab
		Path    string `json:"path_with_namespace"`
		HTTPURL string `json:"git_http_url"`
		SSHURL  string `json:"git_ssh_url"`
		WebURL  string `json:"web_url"`
	} `json:"project"`
	Pusher struct {
		Name     string `json:"name"`
		Login    string `json:"login"`
		Username string `json:"username"`
		Email    string `json:"email"`
	} `json:"pusher"`
	UserUsername string `json:"user_username"` // GitLab
	UserEmail    string `json:"user_email"`
}

// githubCommits is how many commits GitHub lists at most.
const githubCommits = 2048

var objectID = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// parsePush reads a payload whose signature has been checked. Errors: invalid.
func parsePush(provider string, body []byte) (Push, error) {
	const op = "trigger.push"
	var in payload
	if err := decodeJSON(body, &in); err != nil {
		return Push{}, err
	}
	p := Push{Provider: provider, Ref: in.Ref, Before: in.Before, Commit: in.After, after: in.After,
		Actor: first(in.Pusher.Username, in.Pusher.Login, in.Pusher.Name, in.UserUsername), Email: first(in.Pusher.Email, in.UserEmail),
		Repository: first(in.Repository.FullName, in.Project.Path)}
	for _, u := range []string{in.Repository.CloneURL, in.Project.HTTPURL, in.Repository.SSHURL, in.Project.SSHURL, in.Repository.GitURL, in.Repository.HTMLURL, in.Project.WebURL} {
		if u != "" && !slices.Contains(p.URLs, u) {
			p.URLs = append(p.URLs, u)
		}
	}
	if s := string(in.Repository.PushedAt); len(s) < 40 && s != "null" {
		p.pushed = strings.Trim(s, `"`)
	}
	switch {
	case p.Repository == "" && len(p.URLs) == 0:
		return Push{}, problem.New(problem.Invalid, op, "the payload names no repository")
	case !strings.HasPrefix(in.Ref, "refs/") || len(in.Ref) > 1000 || strings.ContainsFunc(in.Ref, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return Push{}, problem.New(problem.Invalid, op, "the payload's ref is %s", strconv.Quote(in.Ref[:min(len(in.Ref), 100)]))
	case !objectID.MatchString(in.After), in.Before != "" && !objectID.MatchString(in.Before):
		return Push{}, problem.New(problem.Invalid, op, "the payload's before or after is not a commit")
	}
	p.Branch, _ = strings.CutPrefix(in.Ref, "refs/heads/")
	if p.Branch == in.Ref {
		p.Branch = ""
	}
	if tag, ok := strings.CutPrefix(in.Ref, "refs/tags/"); ok {
		p.Tag = tag
	}
	p.Deleted = in.Deleted || strings.Trim(in.After, "0") == ""
	if in.HeadCommit != nil {
		p.Message = in.HeadCommit.Message
		if p.Tag != "" && objectID.MatchString(in.HeadCommit.ID) {
			p.Commit = in.HeadCommit.ID
		}
	}
	if objectID.MatchString(in.CheckoutSHA) {
		p.Commit = in.CheckoutSHA
	}
	for _, c := range in.Commits {
		p.Paths = append(append(append(p.Paths, c.Added...), c.Removed...), c.Modified...)
		if p.Message == "" && c.ID == p.Commit {
			p.Message = c.Message
		}
	}
	slices.Sort(p.Paths)
	p.Paths = slices.Compact(p.Paths)
	p.PathsUnknown = pathsUnknown(in)
	return p, nil
}

// pathsUnknown says why the push may have changed files that its list of commits
// does not show.
func pathsUnknown(in payload) string {
	total := -1
	for _, n := range []*int{in.TotalCommits, in.TotalCommitsCount} {
		if n != nil {
			total = *n
		}
	}
	switch {
	case in.Forced:
		return "a forced push does not list the commits that it removed"
	case len(in.Commits) == 0:
		return "the payload lists no commits"
	case total > len(in.Commits), len(in.Commits) >= githubCommits:
		return "the payload lists only some of the commits"
	}
	return ""
}

func first(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}
