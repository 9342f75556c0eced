package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"showrunner/artifact"
	"showrunner/build"
	"showrunner/internal/execid"
	"showrunner/internal/filelock"
	"showrunner/problem"
	"showrunner/stage"
)

// Builder is what both kinds need of the machine.
type Builder struct {
	Launcher  build.Launcher
	Folder    string // of supervised builds, one folder for each
	Artifacts *artifact.Store
	Store     string // the folder that Artifacts is open on
	Cache     string // folder of the caches
	// Inherit is the environment that commands see; see build.CleanEnvironment.
	Inherit []string
	// Fleet is the other hosts that build for the same database; nil when there is none.
	Fleet *Fleet
	// Places bound how many builds run here at once; nil: nothing does.
	Places *Places
	// Waker has those called for whom there is a place; needed with Places.
	Waker stage.Waker
	// Waiting reads an execution of any host and returns what gives the input of those
	// of its tasks that wait; needed for Help.
	Waiting func(ctx context.Context, execution string) (func(stage.Key) (*stage.Input, bool), error)
}

// Kinds returns the stage kinds build and run.
func (b *Builder) Kinds() []stage.Kind { return []stage.Kind{buildKind{b}, runKind{b}} }

// folder is where a start of the build of a stage's attempt lives; the first has
// the number 1. Names from outside do not become paths: what is not plain is
// replaced, and a digest keeps them apart.
func (b *Builder) folder(k stage.Key, start int) string {
	k.Task = "execute"
	plain := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
				return r
			}
			return '_'
		}, s[:min(len(s), 40)])
	}
	sum := sha256.Sum256([]byte(k.String()))
	name := plain(k.Execution) + "." + plain(k.Stage) + "." + strconv.Itoa(k.Attempt) + "." + hex.EncodeToString(sum[:4])
	if start > 1 {
		name += "." + strconv.Itoa(start)
	}
	return filepath.Join(b.Folder, name)
}

// uuid makes the identifier of a start of an attempt's build: the same for the same one.
func uuid(k stage.Key, mark uint32, start int) string {
	if text, ok := execid.UUID(k.Execution, mark<<16|uint32(k.Attempt&0x3ff)<<6|uint32(start&0x3f)); ok {
		return text // the execution can be found by it
	}
	k.Task = "execute"
	text := k.String()
	if start > 1 {
		text += "/" + strconv.Itoa(start)
	}
	return digestUUID(text)
}

// digestUUID is a text's digest in the form of a UUID.
func digestUUID(text string) string {
	b := sha256.Sum256([]byte(text))
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// work is what one of the two kinds builds, and what it makes of the result.
type work struct {
	prepare func(context.Context, *stage.Input) (build.Job, map[string]string, error)
	outputs func(build.Result) map[string]any
	// repeatable says that nothing of a build counts but its artifacts, so that it
	// may be started anew while one that was lost with its host perhaps goes on.
	repeatable bool
}

// execute starts the build, or finds it, and watches it to its end.
func (b *Builder) execute(ctx context.Context, in *stage.Input, w work) (stage.Result, error) {
	if b.Fleet == nil {
		return b.here(ctx, in, claim{Start: 1}, w)
	}
	c, err := b.Fleet.claim(ctx, in.Key)
	if err != nil {
		return stage.Result{}, asUnavailable(err)
	}
	if c.Start == 0 || c.GivenUp {
		return b.takeHere(ctx, in, c, w)
	}
	if c.Host != b.Fleet.ID || c.Result != nil {
		// Called without a state, or having come for a place after that start: a person
		// has looked after a doubt. A start of later is another host's.
		state, waited := waitsFor(in)
		return b.elsewhere(ctx, in, c, w, w.repeatable || in.State == nil || waited && state.After >= c.Start)
	}
	return b.here(ctx, in, c, w)
}

// take makes a build this host's. Its folder says so first, so that this host
// can tell of a build that it does not get to begin.
func (b *Builder) take(ctx context.Context, in *stage.Input, before claim) (claim, error) {
	own := b.Fleet.next(in.Key, before)
	if err := noteClaim(b.folder(own.Key, own.Start), own); err != nil {
		return own, err
	}
	return b.Fleet.take(ctx, in, before)
}

// takeHere makes a build this host's once there is a place for it, and starts it.
func (b *Builder) takeHere(ctx context.Context, in *stage.Input, before claim, w work) (stage.Result, error) {
	if before.closed() {
		return stage.Result{}, problem.New(problem.Unavailable, "build.claim", "the build was canceled before it began")
	}
	place, waits, err := b.place(in, before.Start)
	if err != nil || waits != nil {
		return waits.OrNone(), err
	}
	own, err := b.take(ctx, in, before)
	if err == nil {
		return b.start(ctx, in, own, w, place)
	}
	b.giveBack(place)
	if problem.CodeOf(err) != problem.Conflict {
		return stage.Result{}, asUnavailable(err)
	}
	c, err := b.Fleet.claim(ctx, in.Key) // another host was faster
	if err != nil || c.Start == 0 || c.GivenUp || c.Host == b.Fleet.ID {
		return stage.Result{}, asUnavailable(errors.Join(err, errClaimChanged))
	}
	return b.elsewhere(ctx, in, c, w, w.repeatable)
}

var errClaimChanged = problem.New(problem.Unavailable, "build.claim", "who has the build changes just now")

// here finds a build on this host, or starts it once there is a place for it.
func (b *Builder) here(ctx context.Context, in *stage.Input, c claim, w work) (stage.Result, error) {
	return b.start(ctx, in, c, w, nil)
}

// start finds a build, or starts it in a place: one that it is given, or gets.
func (b *Builder) start(ctx context.Context, in *stage.Input, c claim, w work, place *os.File) (stage.Result, error) {
	defer func() { b.giveBack(place) }()
	dir := b.folder(in.Key, c.Start)
	for range maxStarts {
		h, err := build.Attach(dir)
		if errors.Is(err, build.ErrNotStarted) {
			if place == nil {
				var waits *stage.Result
				if place, waits, err = b.place(in, c.Start-1); err != nil || waits != nil {
					return waits.OrNone(), err
				}
			}
			var job build.Job
			var secrets map[string]string
			if job, secrets, err = w.prepare(ctx, in); err != nil {
				return refused(ctx, err)
			}
			if b.Fleet != nil {
				job.ID = job.Project + ":" + uuid(in.Key, in.Mark, c.Start)
				if err := noteClaim(dir, c); err != nil { // which may stem from a control plane that had not
					return stage.Result{}, err
				}
			}
			job.Place = place
			h, err = b.begin(ctx, dir, job, secrets)
		}
		if errors.Is(err, build.ErrGivenUp) && b.Fleet != nil { // asked for from elsewhere; the next call takes another start
			return stage.Result{}, asUnavailable(errors.Join(err, b.Fleet.giveUp(ctx, c)))
		}
		if err != nil {
			return stopped(ctx, h, err)
		}
		b.leaveQueue(in.Key)
		if place != nil && h.Begun() {
			place.Close() // the supervisor has it
			place = nil
		}
		// The supervisor that was there may have been started by a control plane that
		// died before it had sent the secrets; then it ends without having begun.
		if res, err := b.watch(ctx, in, h, c, w); !errors.Is(err, build.ErrNotStarted) {
			return res, err
		}
	}
	return stage.Result{}, problem.New(problem.Unavailable, "build.start", "%d supervisors ended before they began the build", maxStarts)
}

// begin starts a build. Meanwhile no other process of this host starts it or gives it up.
func (b *Builder) begin(ctx context.Context, dir string, job build.Job, secrets map[string]string) (*build.Handle, error) {
	lock, err := lockBegin(dir)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	return b.Launcher.Start(ctx, dir, job, secrets)
}

// lockBegin keeps others on this host from beginning a build. Errors: unavailable.
func lockBegin(dir string) (*os.File, error) {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		var lock *os.File
		if lock, err = filelock.Try(filepath.Join(dir, fileBegin)); err == nil {
			return lock, nil
		}
	}
	return nil, problem.Wrap(err, problem.Unavailable, "build.begin", "folder %s", dir)
}

// maxStarts bounds how often a build that has not begun is started in one call.
const maxStarts = 5

// resume finds out what became of a build whose watcher died.
func (b *Builder) resume(ctx context.Context, in *stage.Input, w work) (stage.Result, error) {
	c := claim{Start: 1}
	if b.Fleet != nil {
		var err error
		if c, err = b.Fleet.claim(ctx, in.Key); err != nil {
			return stage.Result{}, asUnavailable(err)
		}
		switch {
		case c.Start == 0 || c.GivenUp:
			return stage.Result{Outcome: stage.NotStarted}, nil
		case c.Host != b.Fleet.ID || c.Result != nil:
			return b.elsewhere(ctx, in, c, w, w.repeatable)
		}
	}
	h, err := build.Attach(b.folder(in.Key, c.Start))
	if errors.Is(err, build.ErrNotStarted) || errors.Is(err, build.ErrGivenUp) {
		return stage.Result{Outcome: stage.NotStarted}, nil
	}
	if err != nil {
		return stage.Result{}, err
	}
	b.leaveQueue(in.Key)
	res, err := b.watch(ctx, in, h, c, w)
	if errors.Is(err, build.ErrNotStarted) {
		return stage.Result{Outcome: stage.NotStarted}, nil
	}
	return res, err
}

// elsewhere goes on with a build that another host has: it waits for the result
// while that host lives, and starts the build anew here when it is lost.
func (b *Builder) elsewhere(ctx context.Context, in *stage.Input, c claim, w work, anew bool) (stage.Result, error) {
	if c.Result != nil {
		b.leaveQueue(in.Key)
		return b.conclude(*c.Result, w.outputs), nil
	}
	if c.GivenUp {
		return b.takeHere(ctx, in, c, w)
	}
	state, waited := waitsFor(in)
	if waited && state.After < c.Start || !b.Fleet.lost(c.Host) { // the first: it is only learnt here who has it
		b.leaveQueue(in.Key)
		if err := b.Fleet.ask(ctx, c); err != nil {
			return stage.Result{}, asUnavailable(err)
		}
		state.Elsewhere = true
		kept, err := json.Marshal(state)
		return stage.Result{Outcome: stage.Again, State: kept, After: askElsewhere, Waits: "runs on " + c.Name}, err
	}
	if !anew {
		return stage.Result{}, problem.Wrap(stage.ErrInDoubt, problem.Unavailable, "build.resume", "%s, which ran the commands, has been silent for %s; they may have taken effect, and may still be running",
			c.Name, b.Fleet.Patience)
	}
	if lost := c.Start - c.Unbegun; lost > maxHosts {
		if _, err := b.Fleet.askCancel(ctx, in.Key, build.ErrStopped.Error()); err != nil { // should that host come back
			return stage.Result{}, asUnavailable(err)
		}
		return stage.Fail(stage.Failure{Code: "BUILD_HOST_LOST", Retryable: true,
			Cause: fmt.Sprintf("the build was lost with its host %d times, the last time with %s", lost, c.Name),
			Help:  "Look whether the build itself takes its hosts down (memory, disk); then restart the execution from this stage."}), nil
	}
	return b.takeHere(ctx, in, c, w)
}

// askElsewhere is how often another host's build is asked for.
const askElsewhere = time.Second

// asUnavailable has the engine ask again: another host was faster, or the
// database does not answer.
func asUnavailable(err error) error {
	if problem.CodeOf(err) == problem.Unavailable {
		return err
	}
	return problem.Wrap(err, problem.Unavailable, "build.claim", "who has the build")
}

// cancel ends the build and returns once it has ended.
func (b *Builder) cancel(ctx context.Context, in *stage.Input, repeatable bool) error {
	c := claim{Start: 1}
	b.leaveQueue(in.Key)
	if b.Fleet != nil {
		var err error
		if c, err = b.Fleet.claimOrClose(ctx, in.Key); err != nil || c.Result != nil || c.GivenUp {
			return err
		}
		if c.Host != b.Fleet.ID {
			return b.cancelElsewhere(ctx, in, repeatable)
		}
	}
	h, err := build.Attach(b.folder(in.Key, c.Start))
	if errors.Is(err, build.ErrNotStarted) || errors.Is(err, build.ErrGivenUp) {
		return nil
	}
	if err == nil {
		_, err = h.Cancel(ctx, build.ErrStopped)
	}
	if errors.Is(err, build.ErrNotStarted) {
		return nil
	}
	return err
}

// cancelElsewhere has another host end a build. One that was lost ends it when
// it comes back; until then its end is confirmed only when nothing of it counts.
func (b *Builder) cancelElsewhere(ctx context.Context, in *stage.Input, repeatable bool) error {
	c, err := b.Fleet.askCancel(ctx, in.Key, build.ErrStopped.Error())
	switch {
	case err != nil || c.Start == 0 || c.Result != nil || c.GivenUp:
		return err
	case !b.Fleet.lost(c.Host):
		return problem.New(problem.Unavailable, "build.cancel", "%s is ending the build", c.Name)
	case repeatable:
		fmt.Fprintf(in.Log, "\n%s, which ran this build, has been silent for %s; it ends it when it comes back\n", c.Name, b.Fleet.Patience)
		return nil
	}
	return problem.New(problem.Unavailable, "build.cancel", "%s, which runs the commands, has been silent for %s", c.Name, b.Fleet.Patience)
}
