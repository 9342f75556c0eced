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
// for the same one, one copies. When ctx ends, the answer is what end returns.
func (b *Builder) wait(ctx context.Context, to io.Writer, h *build.Handle, dir string, end func() error) (build.Result, error) {
	logCtx, stopLog := context.WithCancel(context.WithoutCancel(ctx))
	var copying sync.WaitGroup
	defer func() {
		stopLog()
		copying.Wait()
	}()
	lock, err := filelock.Try(filepath.Join(dir, fileWatched))
	switch {
	case err == nil:
		defer lock.Close()
		log, err := openCopied(filepath.Join(dir, "copied"), to)
		if err != nil {
			return build.Result{}, problem.Wrap(err, problem.Unavailable, "build.log", "remember what was copied")
		}
		copying.Go(func() {
			defer log.close()
			h.Log(logCtx, log.offset, log) //nolint:errcheck // a log never fails a stage
		})
	case !errors.Is(err, filelock.ErrHeld):
		return build.Result{}, problem.Wrap(err, problem.Unavailable, "build.log", "folder %s", dir)
	}
	result, err := h.Wait(ctx)
	switch {
	case err == nil:
		copying.Wait() // the log ends with the build
	case ctx.Err() != nil:
		err = end()
	}
	if !errors.Is(err, stage.ErrDetached) {
		b.wakeNext()
	}
	return result, err
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
	offset int64
}

func openCopied(name string, w io.Writer) (*copied, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	var text [20]byte
	n, err := f.ReadAt(text[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		f.Close()
		return nil, err
	}
	c := &copied{w: w, f: f}
	c.offset, _ = strconv.ParseInt(strings.TrimSpace(string(text[:n])), 10, 64) // empty: nothing yet
	return c, nil
}

func (c *copied) Write(p []byte) (int, error) {
	c.w.Write(p) //nolint:errcheck // a log never fails a stage
	c.offset += int64(len(p))
	_, err := c.f.WriteAt([]byte(fmt.Sprintf("%020d", c.offset)), 0)
	return len(p), err
}

func (c *copied) close() { c.f.Close() }
