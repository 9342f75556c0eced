package source

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"showrunner/problem"
)

// Reason says why git failed, in more detail than a problem's code. It becomes
// the code of the stage's failure.
type Reason string

const (
	AuthFailed        Reason = "GIT_AUTH"
	HostKeyUnknown    Reason = "GIT_HOST_KEY"
	RepositoryMissing Reason = "GIT_NOT_FOUND"
	RefMissing        Reason = "GIT_NO_SUCH_REF"
	NetworkFailed     Reason = "GIT_NETWORK"
	TookTooLong       Reason = "GIT_TIMEOUT"
	AddressRefused    Reason = "GIT_ADDRESS"
	MirrorDamaged     Reason = "GIT_MIRROR"
	DiskFull          Reason = "DISK_FULL"
	LFSMissing        Reason = "GIT_LFS_MISSING"
	GitMissing        Reason = "GIT_MISSING"
	Failed            Reason = "GIT_FAILED"
)

const installGit = "install git 2.30 or newer and have it in PATH"

// gitMissing is the error of every operation that needs the git command. The
// command is looked up at each call, so installing git needs no restart.
func gitMissing(err error) error {
	return problem.Wrap(errors.Join(&failure{reason: GitMissing}, err), problem.Precondition, "git", "there is no git command where the control plane runs").WithHelp(installGit)
}

// failure is an error of git: the reason and git's own output.
type failure struct {
	reason Reason
	stderr string
}

func (f *failure) Error() string { return lastLines(f.stderr, 6) }

// ReasonOf returns why an operation of this package failed.
func ReasonOf(err error) Reason {
	var f *failure
	switch {
	case errors.As(err, &f):
		return f.reason
	case problem.CodeOf(err) == problem.Invalid:
		return AddressRefused
	}
	return Failed
}

// Evidence returns the last lines of git's output, without credentials.
func Evidence(err error) []string {
	var f *failure
	if !errors.As(err, &f) || f.stderr == "" {
		return nil
	}
	return strings.Split(lastLines(f.stderr, 6), "\n")
}

func lastLines(text string, n int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-n):], "\n")
}

// signs map git's untranslated messages to reasons. The first match decides, so
// specific signs stand before general ones.
var signs = []struct {
	reason  Reason
	code    problem.Code
	message string
	help    string
	words   []string
}{
	{DiskFull, problem.Precondition, "the disk is full", "make room on the disk of the data folder",
		[]string{"no space left on device", "disk quota exceeded"}},
	{AddressRefused, problem.Invalid, "git refuses this transport", "use https, ssh, git or a path",
		[]string{"transport '", "is not a valid remote-helper name"}},
	{HostKeyUnknown, problem.Denied, "the key of the ssh host is unknown or has changed", "give the host's line of ssh-keyscan as knownHosts, after comparing it with what the host publishes",
		[]string{"host key verification failed", "remote host identification has changed", "no matching host key"}},
	{AuthFailed, problem.Denied, "the repository refuses access", "check the stage's credentials: the token may have expired or may not read this repository",
		[]string{"authentication failed", "could not read username", "could not read password", "invalid username or password", "permission denied (", "returned error: 401", "returned error: 403", "access denied", "terminal prompts disabled", "invalid credentials", "load key", "http basic: access denied"}},
	{RefMissing, problem.NotFound, "the remote has no such commit, branch or tag", "",
		[]string{"couldn't find remote ref", "not our ref", "unadvertised object", "no such remote ref", "bad object", "reference is not a tree"}},
	{RepositoryMissing, problem.NotFound, "there is no repository at this address", "check the address; a private repository gives the same answer to clients without access",
		[]string{"repository not found", "does not appear to be a git repository", "not found", "returned error: 404", "no such file or directory", "not a git repository", "access denied or repository not exported", "does not exist", "could not be found"}},
	{NetworkFailed, problem.Unavailable, "the repository cannot be reached", "check the network and the host; try again when the host is reachable",
		[]string{"could not resolve host", "could not resolve hostname", "connection refused", "connection timed out", "connection reset", "operation timed out", "failed to connect", "unable to connect", "network is unreachable", "no route to host", "couldn't connect", "returned error: 5", "returned error: 429", "early eof", "rpc failed", "unexpected disconnect", "hung up unexpectedly", "operation too slow", "ssl_", "gnutls", "recv failure", "empty reply", "unable to access", "unable to look up", "connection closed", "kex_exchange_identification"}},
	{MirrorDamaged, problem.Internal, "the mirror is damaged", "try again; the mirror is built anew",
		[]string{"corrupt", "unable to read tree", "unable to read sha1", "missing blob", "missing tree", "inflate", "bad packed object", "index file", "packfile", "loose object", "unable to find", "invalid object", "unable to parse", "broken", "failed to read", "bad config", "fatal: unable to read", "garbage", "did not send all necessary objects", "bad index", "is empty", "invalid sha1", "unresolved delta", "bad revision", "missing necessary objects"}},
}

// classify makes a problem from git's error output. stderr holds no credentials.
func classify(ctx context.Context, err error, stderr string) error {
	const op = "source.git"
	if ctx.Err() != nil {
		cause := context.Cause(ctx)
		if errors.Is(cause, errTooLong) {
			return problem.Wrap(&failure{TookTooLong, stderr}, problem.Unavailable, op, "git took too long").
				WithHelp("the remote may hang; try again")
		}
		return fmt.Errorf("git was stopped: %w", cause)
	}
	low := strings.ToLower(stderr)
	for _, s := range signs {
		for _, w := range s.words {
			if strings.Contains(low, w) {
				p := problem.Wrap(&failure{s.reason, stderr}, s.code, op, "%s", s.message)
				p.Help = s.help
				return p
			}
		}
	}
	return problem.Wrap(&failure{Failed, stderr}, problem.Internal, op, "git failed (%v)", err)
}

// withRemote adds the repository to an error.
func withRemote(err error, r Remote) error {
	var p *problem.Error
	if err == nil || !errors.As(err, &p) {
		return err
	}
	return problem.Wrap(err, p.Code, "source", "%s", r.URL).WithHelp("%s", p.Help)
}
