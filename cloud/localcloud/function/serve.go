package function

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"syscall"
	"time"

	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/internal/process"
	"showrunner/problem"
)

// quoteJSON is a text as JSON has it.
func quoteJSON(s string) string {
	text, _ := json.Marshal(s) // a string always can
	return string(text)
}

// run is one request in one environment.
type run struct {
	e       *environment
	v       *invocation
	cold    bool
	began   time.Time // of the function's own time
	init    time.Duration
	peak    int64
	status  string // of the report; empty: it succeeded
	printed bool   // the START line is written
}

// serve answers one request: it starts the environment if it is not running yet, hands
// the request over, and ends it when the runtime asks for the next one, the process
// ends, the time is over, or the memory is.
func (e *environment) serve(v *invocation) {
	r := &run{e: e, v: v, cold: e.process == nil}
	began := e.host.config.Now()
	a := r.initialize(began)
	if a == nil {
		if r.cold {
			r.init = e.host.config.Now().Sub(began)
		}
		a = r.invoke()
	}
	r.finish(a)
}

// limit is the memory that the function may use, in bytes.
func (r *run) limit() int64 { return int64(r.v.Workload.Memory) << 20 }

// initialize waits for the environment's first call. Its answer is a failure.
func (r *run) initialize(began time.Time) *answer {
	e := r.e
	if !r.cold {
		return nil
	}
	r.say("INIT_START Runtime Version: " + e.runtime.version())
	if err := e.start(context.Background()); err != nil {
		r.start()
		return failedToStart(r.v.ID, err)
	}
	r.began = began.Add(e.host.config.MostInit)
	return r.wait(r.began.Add(r.v.Workload.Timeout), func() (*answer, bool) {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.failure, e.waits || e.failure != nil
	})
}

// invoke hands the request over and waits for its end.
func (r *run) invoke() *answer {
	e, v := r.e, r.v
	r.start()
	v.deadline = r.began.Add(v.Workload.Timeout)
	e.mu.Lock()
	e.now, e.answer, e.waits = v, nil, false
	e.mu.Unlock()
	late := time.NewTimer(v.deadline.Sub(e.host.config.Now()))
	defer late.Stop()
	select { // wait finds out what has happened otherwise
	case e.give <- v:
	case <-e.gone:
	case <-late.C:
	}
	return r.wait(v.deadline, func() (*answer, bool) {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.answer, e.answer != nil && e.waits
	})
}

// start writes the START line, and the function's own time begins.
func (r *run) start() {
	r.began = r.e.host.config.Now()
	r.printed = true
	r.say("START RequestId: " + r.v.ID + " Version: " + r.v.Version)
}

// sampleEvery is how often the memory of a function that runs is measured.
const sampleEvery = 100 * time.Millisecond

// wait waits until is says so, or the process or the time has ended.
func (r *run) wait(deadline time.Time, is func() (*answer, bool)) *answer {
	e := r.e
	timer := time.NewTimer(deadline.Sub(e.host.config.Now()))
	defer timer.Stop()
	sample := time.NewTicker(sampleEvery)
	defer sample.Stop()
	for {
		if a, done := is(); done {
			r.passOutput(true)
			return a
		}
		select {
		case <-e.calls:
		case <-e.output.changed:
			r.passOutput(false)
		case <-sample.C:
			if used := r.measure(); used > r.limit() {
				r.say(fmt.Sprintf("%s %s Error: the function used %d MB of memory; its limit is %d MB", stamp(e.host.config.Now()), r.v.ID, used>>20, r.v.Workload.Memory))
				e.process.Signal(syscall.SIGKILL)
			}
		case <-e.gone:
			r.passOutput(true)
			a, _ := is()
			if a != nil {
				return a // it has answered and ended then
			}
			return r.exited()
		case <-timer.C:
			if a, done := is(); done {
				continue
			} else if a != nil { // it has answered and is still busy
				e.process.Signal(syscall.SIGKILL)
				return a
			}
			return r.timedOut()
		}
	}
}

// measure notes how much memory is used.
func (r *run) measure() int64 {
	used := r.e.memory()
	r.peak = max(r.peak, used)
	return used
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func (r *run) timedOut() *answer {
	r.passOutput(true)
	r.e.process.Signal(syscall.SIGKILL)
	<-r.e.gone
	if !r.printed {
		r.start()
	}
	r.status = "timeout"
	took := fmt.Sprintf("Task timed out after %.2f seconds", r.v.Workload.Timeout.Seconds())
	r.say(stamp(r.e.host.config.Now()) + " " + r.v.ID + " " + took)
	return failureOf("Sandbox.Timedout", "RequestId: "+r.v.ID+" Error: "+took)
}

// exited is the answer for a process that ended without one.
func (r *run) exited() *answer {
	if !r.printed {
		r.start()
	}
	how := "exited without providing a reason"
	if end := r.e.exit; end != (process.Exit{}) {
		how = "exited with error: " + exitText(end)
	}
	r.status = "error\tError Type: Runtime.ExitError"
	text := "RequestId: " + r.v.ID + " Error: Runtime " + how
	r.say(text)
	return failureOf("Runtime.ExitError", text)
}

func exitText(e process.Exit) string {
	if e.Signal != 0 {
		return "signal: " + e.Signal.String()
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

// say writes a line of the service's own.
func (r *run) say(text string) {
	r.v.say(r.e.stream, driver.LogLine{At: r.e.host.config.Now(), Text: text + "\n"})
}

// passOutput passes on what the process has written (output.take).
func (r *run) passOutput(whole bool) { r.v.say(r.e.stream, r.e.output.take(whole)...) }

// finish writes the last lines and sets the outcome.
func (r *run) finish(a *answer) {
	e, now := r.e, r.e.host.config.Now()
	if !r.printed {
		r.start()
	}
	took := max(now.Sub(r.began), 0)
	if e.process != nil {
		select {
		case <-e.gone:
		default:
			r.measure()
		}
	}
	billed := took
	if r.cold {
		billed += r.init
	}
	report := fmt.Sprintf("REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %.0f ms\tMemory Size: %d MB\tMax Memory Used: %d MB\t", r.v.ID,
		milliseconds(took), math.Ceil(milliseconds(billed)), r.v.Workload.Memory, megabytes(r.peak))
	if r.cold && r.init > 0 {
		report += fmt.Sprintf("Init Duration: %.2f ms\t", milliseconds(r.init))
	}
	if r.status != "" {
		report += "Status: " + r.status
	}
	r.say("END RequestId: " + r.v.ID)
	r.say(report)
	e.mu.Lock()
	e.now, e.answer = nil, nil
	e.mu.Unlock()
	e.host.mu.Lock()
	closed := e.host.closed
	e.host.mu.Unlock()
	if closed && a.failed { // it was ended with the region
		r.v.end(now, driver.InvocationResult{}, problem.New(problem.Unavailable, "function.invoke", "the region ended while %s ran", r.v.Function))
		return
	}
	r.v.end(now, driver.InvocationResult{Payload: a.payload, Failed: a.failed, Duration: took, Init: r.init, Started: r.cold, MemoryUsed: megabytes(r.peak)}, nil)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func megabytes(n int64) int { return int((n + 1<<20 - 1) >> 20) }
