package source

import (
	"fmt"
	"os"
	"strings"

	"showrunner/problem"
	"showrunner/secret"
)

// Credentials give access to a private repository. The fields are values, not
// references to secrets.
type Credentials struct {
	Username   string // default, with a password alone: x-access-token, which every forge accepts beside a token
	Password   string // password or token; for http and https
	SSHKey     string // a private key in OpenSSH form; for ssh
	KnownHosts string // lines in the format of ssh's known_hosts; default: the file of this machine's user
}

const defaultUsername = "x-access-token"

// access is how git reaches one remote: git's environment variables, and the
// values that must not be shown. The values themselves are in files of a private
// folder, never in arguments, variables or a repository's configuration.
type access struct {
	env    []string
	hidden []string
}

// grant writes the credentials of the remote into the scratch folder. A password
// is offered to this scheme and host only, so that a redirect or a submodule at
// another host cannot ask for it.
func grant(s *scratch, r Remote, c Credentials) (access, error) {
	if c.Username == "" && c.Password == "" {
		c.Username, c.Password = r.user, r.password
	}
	a := access{}
	for _, v := range []string{c.Password, c.SSHKey, r.password} {
		if v != "" {
			a.hidden = append(a.hidden, v)
		}
	}
	if c.Password == "" && r.Scheme != "ssh" && strings.HasPrefix(r.Scheme, "http") && c.Username != "" {
		a.hidden = append(a.hidden, c.Username) // a token alone is often written as the user name
	}
	var err error
	switch r.Scheme {
	case "http", "https":
		err = a.grantHTTP(s, r, c)
	case "ssh":
		err = a.grantSSH(s, c)
	}
	return a, err
}

func (a *access) grantHTTP(s *scratch, r Remote, c Credentials) error {
	c.Password, c.Username = strings.TrimRight(c.Password, "\r\n"), strings.TrimRight(c.Username, "\r\n")
	if c.Password == "" && c.Username == "" {
		return nil
	}
	if c.Username == "" {
		c.Username = defaultUsername
	}
	if strings.ContainsAny(c.Username+c.Password, "\r\n\x00") {
		return problem.New(problem.Invalid, "source.credentials", "the username or password for %s holds a line break", r.Host)
	}
	file := s.path("http")
	if err := os.WriteFile(file, fmt.Appendf(nil, "username=%s\npassword=%s\n", c.Username, c.Password), 0o600); err != nil {
		return problem.Wrap(err, problem.Unavailable, "source.credentials", "writing credentials for git")
	}
	a.env = append(a.env,
		"SHOWRUNNER_GIT_CREDENTIALS="+file,
		"GIT_CONFIG_COUNT=1",
		fmt.Sprintf("GIT_CONFIG_KEY_0=credential.%s://%s.helper", r.Scheme, r.Host),
		`GIT_CONFIG_VALUE_0=!f() { test "$1" = get && cat "$SHOWRUNNER_GIT_CREDENTIALS"; }; f`)
	return nil
}

func (a *access) grantSSH(s *scratch, c Credentials) error {
	command := []string{"ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=20",
		"-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4", "-o", "ForwardAgent=no", "-o", "ClearAllForwardings=yes"}
	write := func(name, value string) (string, error) {
		file := s.path(name)
		value = strings.TrimRight(strings.ReplaceAll(value, "\r\n", "\n"), "\n") + "\n"
		if err := os.WriteFile(file, []byte(value), 0o600); err != nil {
			return "", problem.Wrap(err, problem.Unavailable, "source.credentials", "writing credentials for ssh")
		}
		return file, nil
	}
	if c.SSHKey != "" {
		file, err := write("ssh-key", c.SSHKey)
		if err != nil {
			return err
		}
		command = append(command, "-F", "none", "-i", shellQuote(file), "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none")
	}
	if c.KnownHosts != "" {
		file, err := write("known-hosts", c.KnownHosts)
		if err != nil {
			return err
		}
		command = append(command, "-o", shellQuote(`UserKnownHostsFile="`+file+`"`), "-o", "GlobalKnownHostsFile=/dev/null")
	}
	a.env = append(a.env, "GIT_SSH_COMMAND="+strings.Join(command, " "), "GIT_SSH_VARIANT=ssh")
	return nil
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// hide replaces every credential in git's output.
func (a access) hide(text string) string {
	return Redact(secret.Mask(text, a.hidden...))
}
