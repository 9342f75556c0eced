package source

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"showrunner/artifact"
	"showrunner/problem"
)

// Artifacts keeps exported trees.
type Artifacts interface {
	PutDir(ctx context.Context, root string, paths []string) (artifact.Ref, artifact.Manifest, error)
}

// Options say how a Fetcher works.
type Options struct {
	// Dir holds the mirrors. Several processes may share it.
	Dir       string
	Artifacts Artifacts
	// Base is the folder that relative paths of repositories start from; default
	// the working folder of the process.
	Base string
	Log  *slog.Logger
	// Retries are the pauses before a remote that is unreachable is asked again;
	// default half a second, then two.
	Retries []time.Duration
	// Timeout bounds one git command that talks to a remote; default 1 hour.
	Timeout time.Duration
}

// Fetcher fetches commits. Its methods may be called concurrently.
type Fetcher struct {
	o      Options
	config string
	home   string
	tmp    string
}

// Request names a commit of a repository: by Commit (all or at least four digits
// of it), Tag or Branch, in this order; without any, the remote's HEAD.
type Request struct {
	URL         string
	Branch      string
	Tag         string
	Commit      string
	Submodules  bool
	LFS         bool
	Credentials Credentials
	// Progress is called with each line of git's progress; may be nil.
	Progress func(line string)
}

// Revision is a resolved commit, and the name it was found by.
type Revision struct {
	Commit string // all digits
	Branch string // empty when unknown
	Tag    string
	URL    string // without credentials
}

// Tree is a commit's work tree as an artifact, and the commit's own data.
type Tree struct {
	Artifact    artifact.Ref
	Commit      string
	Message     string
	Author      string
	AuthorEmail string
	Date        time.Time // when it was authored
	Files       int
	Bytes       int64
}

// gitConfig replaces the machine's and the user's configuration. safe.directory:
// a repository is named by the pipeline's owner, and reading another user's
// repository runs nothing of it: hooks are off and upload-pack takes commands
// from this file alone. unpackLimit: a pack becomes visible as a whole or not at
// all, so a killed fetch leaves no commit without its files.
const gitConfig = `# written by showrunner at every start
[safe]
	directory = *
[core]
	hooksPath = /dev/null
	fsmonitor = false
	protectHFS = true
	protectNTFS = true
	attributesFile = /dev/null
	excludesFile = /dev/null
[protocol]
	version = 2
[uploadpack]
	allowAnySHA1InWant = true
[gc]
	auto = 0
[maintenance]
	auto = false
[fetch]
	unpackLimit = 1
	recurseSubmodules = false
	writeCommitGraph = false
[submodule]
	recurse = false
[http]
	lowSpeedLimit = 100
	lowSpeedTime = 60
	followRedirects = initial
[i18n]
	logOutputEncoding = UTF-8
[log]
	showSignature = false
`

// Open makes a Fetcher and removes what a killed process left behind. Without a
// git command it only warns, since other parts of the program work without git,
// for example in an image that holds this program alone.
func Open(o Options) (*Fetcher, error) {
	const op = "source.open"
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if _, err := exec.LookPath("git"); err != nil {
		o.Log.Warn("no git command was found: git stages and polls fail until there is one", "help", installGit)
	}
	if o.Timeout == 0 {
		o.Timeout = time.Hour
	}
	if o.Retries == nil {
		o.Retries = []time.Duration{500 * time.Millisecond, 2 * time.Second}
	}
	var err error
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, problem.Wrap(err, problem.Invalid, op, "the folder of the mirrors")
	}
	f := &Fetcher{o: o, config: filepath.Join(o.Dir, "config"), home: filepath.Join(o.Dir, "home"), tmp: filepath.Join(o.Dir, "tmp")}
	for _, dir := range []string{f.home, f.tmp} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, problem.Wrap(err, problem.Precondition, op, "making the folder of the mirrors")
		}
	}
	if err := f.writeConfig(); err != nil {
		return nil, problem.Wrap(err, problem.Precondition, op, "writing git's configuration")
	}
	if err := sweep(f.tmp); err != nil {
		return nil, problem.Wrap(err, problem.Precondition, op, "clearing the temporary folder")
	}
	return f, nil
}

func (f *Fetcher) writeConfig() error {
	tmp, err := os.CreateTemp(f.o.Dir, ".config-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(gitConfig)
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), f.config)
}

// remote checks a request's address and names.
func (f *Fetcher) remote(q Request) (Remote, error) {
	for _, name := range []string{q.Branch, q.Tag} {
		if name != "" {
			if err := CheckRefName(name); err != nil {
				return Remote{}, err
			}
		}
	}
	if q.Commit != "" && !hexCommit.MatchString(q.Commit) {
		return Remote{}, problem.New(problem.Invalid, "source.ref", "%q cannot be a commit", q.Commit).
			WithHelp("give at least four hexadecimal digits of it, or use branch or tag for a name")
	}
	base := f.o.Base
	if base == "" {
		base = "."
	}
	return ParseRemote(q.URL, base)
}

// withRetries repeats act while the remote is unreachable.
func (f *Fetcher) withRetries(ctx context.Context, act func() error) error {
	err := act()
	for _, pause := range f.o.Retries {
		if problem.CodeOf(err) != problem.Unavailable || ctx.Err() != nil {
			return err
		}
		f.o.Log.Info("the git remote is unreachable, trying again", "pause", pause, "error", err)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
		err = act()
	}
	return err
}
