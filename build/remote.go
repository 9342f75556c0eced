package build

import (
	"context"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
)

// Remote is what the Git configuration of a folder says of where it comes from.
type Remote struct {
	URL string // of the remote origin, without credentials; "" when there is none
	// Credentials are the user names, passwords, tokens and headers that the
	// configuration holds, for any remote. They are masked in a build's log.
	Credentials []string
}

// ReadRemote reads a folder's own Git configuration. A folder that is no work
// tree, or a machine without git, gives an empty answer.
func ReadRemote(ctx context.Context, dir string) Remote {
	if !exists(filepath.Join(dir, ".git")) {
		return Remote{}
	}
	out, err := exec.CommandContext(ctx, "git", "-C", dir, "config", "--null", "--get-regexp", `^(remote|url|http|submodule)\.`).Output()
	if err != nil {
		return Remote{}
	}
	var r Remote
	for _, entry := range strings.Split(string(out), "\x00") {
		key, value, ok := strings.Cut(entry, "\n")
		if !ok {
			continue
		}
		section, _, _ := strings.Cut(key, ".")
		if key == "remote.origin.url" && r.URL == "" {
			r.URL = WithoutCredentials(value)
		}
		if strings.HasSuffix(key, ".extraheader") {
			r.Credentials = append(r.Credentials, headerCredentials(value)...)
			continue
		}
		r.Credentials = append(r.Credentials, urlCredentials(value)...)
		if section == "url" { // url.<base>.insteadOf: the address is part of the key
			r.Credentials = append(r.Credentials, urlCredentials(strings.TrimPrefix(key[:strings.LastIndexByte(key, '.')], "url."))...)
		}
	}
	return r
}

// headerCredentials are a header's value and what follows its scheme.
func headerCredentials(header string) []string {
	_, value, ok := strings.Cut(header, ":")
	if !ok {
		return nil
	}
	fields := strings.Fields(value)
	if len(fields) == 0 {
		return nil
	}
	return fields[len(fields)-1:]
}

// urlCredentials are the secrets in a repository's address: the password, and
// the user of an address over HTTP, which may be a token. Each is given as it is
// written and as it is meant.
func urlCredentials(address string) []string {
	user, over := userInfo(address)
	if user == "" {
		return nil
	}
	name, password, both := strings.Cut(user, ":")
	var raw []string
	if both {
		raw = append(raw, password)
	} else if strings.HasPrefix(over, "http") {
		raw = append(raw, name)
	}
	var out []string
	for _, s := range raw {
		if s == "" {
			continue
		}
		out = append(out, s)
		if plain, err := url.PathUnescape(s); err == nil && plain != s {
			out = append(out, plain)
		}
	}
	return out
}

// WithoutCredentials is a repository's address without the user and password of
// an address over HTTP, and without the password of any other. Addresses such as
// git@HOST:PATH hold no secret and stay as they are.
func WithoutCredentials(address string) string {
	user, over := userInfo(address)
	if user == "" {
		return address
	}
	name, _, _ := strings.Cut(user, ":")
	keep := name + "@"
	if strings.HasPrefix(over, "http") || name == "" {
		keep = ""
	}
	return strings.Replace(address, "://"+user+"@", "://"+keep, 1)
}

// userInfo is what stands before the host in an address with a scheme. It reads
// what url.Parse refuses too, since Git does.
func userInfo(address string) (user, scheme string) {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return "", ""
	}
	authority, _, _ := strings.Cut(rest, "/")
	at := strings.LastIndexByte(authority, '@')
	if at < 0 {
		return "", scheme
	}
	return authority[:at], strings.ToLower(scheme)
}
