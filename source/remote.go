package source

import (
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"

	"showrunner/problem"
)

// Remote is the address of a repository, checked and without credentials.
type Remote struct {
	// URL is the address that git is given. It may be shown and stored.
	URL string
	// Scheme is file, git, http, https or ssh; file for plain paths too.
	Scheme string
	// Host is the host with its port; empty for file.
	Host string
	// Path is the path of the repository at the host.
	Path string

	// user and password were part of the address; they are passed on as
	// credentials.
	user, password string
}

// allowedProtocols is what GIT_ALLOW_PROTOCOL says, and what ParseRemote accepts.
const allowedProtocols = "file:git:http:https:ssh"

var (
	helperTransport = regexp.MustCompile(`^[A-Za-z0-9+.-]+::`)
	withScheme      = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*)://`)
	// scpLike is [user@]host:path, git's other form of an ssh address.
	scpLike = regexp.MustCompile(`^(?:([^@/:]+)@)?(\[[^\]/]+\]|[^:/\[\]]+):(.*)$`)
)

// ParseRemote checks an address in git's syntax: a URL, the short form of ssh
// (git@host:owner/name), or a path, which is relative to base. Errors: invalid.
func ParseRemote(raw, base string) (Remote, error) {
	invalid := func(format string, args ...any) (Remote, error) {
		return Remote{}, problem.New(problem.Invalid, "source.url", "%q: "+format, append([]any{Redact(raw)}, args...)...).
			WithHelp("give an address such as https://host/owner/name.git, git@host:owner/name.git, or the path of a repository")
	}
	switch {
	case strings.TrimSpace(raw) == "":
		return invalid("the address of the repository is empty")
	case strings.ContainsFunc(raw, unicode.IsControl):
		return invalid("an address holds no control characters")
	case strings.HasPrefix(raw, "-"):
		return invalid("an address does not begin with a dash")
	case helperTransport.MatchString(raw):
		return invalid("git's helper transports (ext::, fd::, …) are not allowed")
	}
	if m := withScheme.FindStringSubmatch(raw); m != nil {
		return parseURL(raw, strings.ToLower(m[1]), invalid)
	}
	if m := scpLike.FindStringSubmatch(raw); m != nil && !isPath(raw) {
		user, host, path := m[1], m[2], m[3]
		if strings.HasPrefix(host, "-") || strings.HasPrefix(user, "-") || strings.HasPrefix(path, "-") || path == "" {
			return invalid("this is not the address of a repository")
		}
		return Remote{URL: raw, Scheme: "ssh", Host: strings.ToLower(host), Path: path}, nil
	}
	local := raw
	if !filepath.IsAbs(local) {
		local = filepath.Join(base, local)
	}
	local, err := filepath.Abs(local)
	if err != nil {
		return invalid("%v", err)
	}
	return Remote{URL: local, Scheme: "file", Path: local}, nil
}

// isPath tells a path that holds a colon from an ssh address, as git does.
func isPath(raw string) bool {
	slash := strings.IndexByte(raw, '/')
	return slash >= 0 && slash < strings.IndexByte(raw, ':')
}

func parseURL(raw, scheme string, invalid func(string, ...any) (Remote, error)) (Remote, error) {
	switch scheme {
	case "git+ssh", "ssh+git":
		scheme = "ssh"
	case "file", "git", "http", "https", "ssh":
	default:
		return invalid("the transport %s is not allowed, only %s", scheme, strings.ReplaceAll(allowedProtocols, ":", ", "))
	}
	if scheme == "file" {
		p := raw[len("file://"):]
		if !strings.HasPrefix(p, "/") {
			return invalid("file:// is followed by an absolute path")
		}
		return Remote{URL: "file://" + p, Scheme: "file", Path: path.Clean(p)}, nil
	}
	u, err := url.Parse(raw)
	if err != nil {
		return invalid("this is not a URL") // url's own error repeats the address, including the password
	}
	if u.Hostname() == "" || strings.HasPrefix(u.Host, "-") || strings.HasPrefix(u.Path, "/-") || strings.Trim(u.Path, "/") == "" {
		return invalid("this names no repository")
	}
	r := Remote{Scheme: scheme, Host: strings.ToLower(u.Host), Path: u.Path}
	if u.User != nil {
		r.user = u.User.Username()
		r.password, _ = u.User.Password()
		if strings.HasPrefix(r.user, "-") {
			return invalid("a user does not begin with a dash")
		}
	}
	u.Scheme, u.User, u.Fragment = scheme, nil, ""
	if scheme == "ssh" && r.user != "" {
		u.User = url.User(r.user) // the account at the host; it is not secret
		r.user, r.password = "", ""
	}
	r.URL = u.String()
	return r, nil
}

var userinfo = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)[^/\s@'"]*@`)

// Redact hides the user information of every URL in text.
func Redact(text string) string {
	return userinfo.ReplaceAllStringFunc(text, func(m string) string {
		scheme := m[:strings.Index(m, "://")+3]
		if rest := m[len(scheme) : len(m)-1]; strings.HasPrefix(scheme, "ssh") && !strings.Contains(rest, ":") {
			return m
		}
		return scheme + "***@"
	})
}

// join resolves the address of a submodule, which may be relative to r.
func (r Remote) join(sub string) (Remote, error) {
	if !strings.HasPrefix(sub, "./") && !strings.HasPrefix(sub, "../") {
		return ParseRemote(sub, "/")
	}
	prefix, p := "", r.URL
	if i := strings.Index(r.URL, "://"); i >= 0 {
		slash := strings.IndexByte(r.URL[i+3:], '/')
		prefix, p = r.URL[:i+3+slash], r.URL[i+3+slash:]
	} else if r.Scheme == "ssh" {
		colon := len(r.URL) - len(r.Path)
		prefix, p = r.URL[:colon], r.Path
	}
	joined := path.Join(strings.TrimSuffix(p, "/"), sub)
	if strings.HasPrefix(joined, "..") || joined == "." || joined == "/" {
		return Remote{}, problem.New(problem.Invalid, "source.submodule", "the submodule address %q leads out of %s", sub, r.URL)
	}
	return ParseRemote(prefix+joined, "/")
}

// SameRepository tells whether two addresses, or an address and an "owner/name",
// mean the same repository. Transport, user, port, a final ".git" and, except in
// local paths, letter case make no difference.
func SameRepository(a, b string) bool {
	hostA, pathA := identity(a)
	hostB, pathB := identity(b)
	if pathA == "" || pathA != pathB {
		return false
	}
	return hostA == hostB || hostA == anyHost || hostB == anyHost
}

// anyHost stands for the host of an "owner/name", which has none.
const anyHost = "*"

func identity(raw string) (host, p string) {
	if ownerName.MatchString(raw) {
		return anyHost, strings.ToLower(strings.TrimSuffix(raw, ".git"))
	}
	r, err := ParseRemote(raw, "/")
	if err != nil {
		return "", ""
	}
	p = strings.TrimSuffix(strings.Trim(r.Path, "/"), "/.git")
	host = r.Host
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	if host != "" {
		p = strings.ToLower(p)
	}
	return host, strings.TrimSuffix(p, ".git")
}

var ownerName = regexp.MustCompile(`^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+$`)

// CheckRefName returns an invalid problem for a name that git would refuse as a
// branch or tag, or could take for an option.
func CheckRefName(name string) error {
	bad := name == "" || strings.HasPrefix(name, "-") || strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/") ||
		strings.HasSuffix(name, ".") || strings.HasSuffix(name, ".lock") || name == "@" || len(name) > 1000 ||
		strings.Contains(name, "..") || strings.Contains(name, "//") || strings.Contains(name, "@{") ||
		strings.Contains(name, "/.") || strings.HasPrefix(name, ".") || strings.ContainsAny(name, " ~^:?*[\\") ||
		strings.ContainsFunc(name, unicode.IsControl)
	if bad {
		return problem.New(problem.Invalid, "source.ref", "%q cannot be the name of a branch or tag", name)
	}
	return nil
}

var hexCommit = regexp.MustCompile(`^[0-9a-fA-F]{4,64}$`)

func fullCommit(s string) bool { return (len(s) == 40 || len(s) == 64) && hexCommit.MatchString(s) }
