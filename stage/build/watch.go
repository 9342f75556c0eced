package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"showrunner/build"
	"showrunner/internal/filelock"
	"showrunner/problem"
	"showrunner/stage"
)

// watch copies the log, waits for the result and keeps it. When ctx ends
// because the stage has to stop, the build is ended first.
func (b *Builder) watch(ctx context.Context, in *stage.Input, h *build.Handle, c claim, w work) (stage.Result, error) {
	result, err := b.wait(ctx, in.Log, h, b.folder(in.Key, c.Start), func() error {
		_, err := stopped(ctx, h, nil)
		return err
	})
	if err != nil {
		return stage.Result{}, err
	}
	if b.Fleet != nil {
		if err := b.Fleet.keep(ctx, c, result); err != nil {
			return stage.Result{}, asUnavailable(err)
		}
	}
	return b.conclude(result, w.outputs), nil
}

// wait waits for a build's end and copies its log meanwhile; of several that wait
// for the same one, one copies, and none returns before the log is whole. When ctx
// ends, the answer is what end returns.
func (b *Builder) wait(ctx context.Context, to io.Writer, h *build.Handle, dir string, end func() error) (build.Result, error) {
	logCtx, stopLog := context.WithCancel(context.WithoutCancel(ctx))
	over := make(chan struct{}) // the build has ended
	var copying sync.WaitGroup
	defer func() {
		stopLog()
		copying.Wait()
	}()
	copier, err := openCopied(dir, to)
	switch {
	case err == nil:
		copying.Go(func() { copier.run(logCtx, h) })
	case errors.Is(err, filelock.ErrHeld):
		copying.Go(func() { copyAfter(logCtx, over, h, dir, to) })
	default:
		return build.Result{}, problem.Wrap(err, problem.Unavailable, "build.log", "remember what was copied, folder %s", dir)
	}
	result, err := h.Wait(ctx)
	switch {
	case err == nil:
		close(over)
		copying.Wait() // the log ends with the build
	case ctx.Err() != nil:
		err = end()
	}
	if !errors.Is(err, stage.ErrDetached) {
		b.wakeNext()
	}
	return result, err
}

const (
	copyAgain    = 50 * time.Millisecond // until the log's copier is asked for again
	copyPatience = 30 * time.Second      // for another copier, once the build has ended
)

// copyAfter takes over the copying of a log when its present copier stops, and copies
// the rest. There is no rest when that copier has reached the log's end. It gives up
// when the files beside the log cannot be opened: a log never fails a stage.
func copyAfter(ctx context.Context, over <-chan struct{}, h *build.Handle, dir string, to io.Writer) {
	tick := time.NewTicker(copyAgain)
	defer tick.Stop()
	var patience <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-patience: // the build has ended, and the copier hangs
			return
		case <-over:
			over, patience = nil, time.After(copyPatience)
		case <-tick.C:
		}
		copier, err := openCopied(dir, to)
		if err == nil {
			copier.run(ctx, h)
		}
		if !errors.Is(err, filelock.ErrHeld) {
			return
		}
	}
}

// stopped ends a build that may have begun, because ctx has ended.
func stopped(ctx context.Context, h *build.Handle, err error) (stage.Result, error) {
	cause := context.Cause(ctx)
	if ctx.Err() == nil || errors.Is(cause, stage.ErrDetached) || h == nil {
		if ctx.Err() != nil {
			return stage.Result{}, cause
		}
		return stage.Result{}, err
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	why := build.ErrStopped
	if errors.Is(cause, stage.ErrTimedOut) {
		why = build.ErrTimedOut
	}
	if _, err := h.Cancel(limit, why); err != nil && !errors.Is(err, build.ErrNotStarted) {
		return stage.Result{}, problem.Wrap(err, problem.Unavailable, "build.cancel", "end the build")
	}
	return stage.Result{}, cause
}

// copied passes a build's log on and remembers how far, so that the process that
// goes on after a crash neither repeats nor leaves out any of it.
type copied struct {
	w      io.Writer
	f      *os.File
	lock   *os.File // one copies at a time
	offset int64
}

// openCopied becomes the one that copies. Errors: filelock.ErrHeld while another is.
func openCopied(dir string, w io.Writer) (*copied, error) {
	lock, err := filelock.Try(filepath.Join(dir, fileWatched))
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "copied"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		lock.Close()
		return nil, err
	}
	c := &copied{w: w, f: f, lock: lock}
	var text [20]byte
	n, err := f.ReadAt(text[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		c.close()
		return nil, err
	}
	c.offset, _ = strconv.ParseInt(strings.TrimSpace(string(text[:n])), 10, 64) // empty: nothing yet
	return c, nil
}

// run copies to the end of the log, or until ctx ends.
func (c *copied) run(ctx context.Context, h *build.Handle) {
	defer c.close()
	h.Log(ctx, c.offset, c) //nolint:errcheck // a log never fails a stage
}

func (c *copied) Write(p []byte) (int, error) {
	c.w.Write(p) //nolint:errcheck // a log never fails a stage
	c.offset += int64(len(p))
	_, err := c.f.WriteAt([]byte(fmt.Sprintf("%020d", c.offset)), 0)
	return len(p), err
}

func (c *copied) close() {
	c.f.Close()
	c.lock.Close()
}
