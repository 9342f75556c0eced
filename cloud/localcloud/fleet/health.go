package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/injection"
	"showrunner/cloud/localcloud/internal/process"
	"showrunner/pipeline"
)

// While an instance starts it is checked often, so that it serves as soon as
// possible: each pause is a tenth of the time since the start, within these
// bounds.
const (
	minCheckPause = 5 * time.Millisecond
	maxCheckPause = 250 * time.Millisecond
)

// watch checks an instance for as long as its process lives: first whether it
// becomes ready, then whether it stays healthy.
func (f *Fleet) watch(i *instance, spec driver.ServerGroupSpec, job process.Program) {
	ctx, cancel := context.WithCancel(i.ctx)
	defer cancel()
	f.work.Go(func() {
		select {
		case <-i.done:
		case <-ctx.Done():
		}
		cancel()
	})
	readiness := &probe{Health: withHealthDefaults(spec.Health), address: i.address, program: job, runner: f.runner, client: f.client}
	var liveness *probe
	if spec.Liveness != nil {
		liveness = &probe{Health: withHealthDefaults(*spec.Liveness), address: i.address, program: job, runner: f.runner, client: f.client}
	}
	for f.awaitReady(ctx, i, readiness) {
		if !f.watchServing(ctx, i, readiness, liveness) {
			return
		}
	}
}

// awaitReady checks until the instance is ready and in service. It returns false
// when the instance ended or was given up first.
func (f *Fleet) awaitReady(ctx context.Context, i *instance, p *probe) bool {
	deadline := time.NewTimer(time.Duration(p.Grace))
	defer deadline.Stop()
	began, wait := time.Now(), minCheckPause
	for successes := 0; ; {
		detail, err := f.askHealth(ctx, i, p)
		if ctx.Err() != nil {
			return false
		}
		f.note(i, detail, err)
		if err == nil {
			if successes++; successes >= p.Healthy {
				switch ran, ok := f.passLaunchHook(ctx, i); {
				case !ok:
					return false
				case !ran:
					return f.putIntoService(i)
				}
				// The hook may have taken long: the instance has to be still
				// ready.
				successes, began, wait = 0, time.Now(), 0
				deadline.Reset(time.Duration(p.Grace))
			} else {
				wait = time.Duration(p.Interval)
			}
		} else {
			successes = 0
			wait = min(max(time.Since(began)/10, minCheckPause), maxCheckPause, time.Duration(p.Interval))
			if len(p.Command) > 0 {
				wait = min(max(wait, maxCheckPause), time.Duration(p.Interval)) // every check starts a process
			}
		}
		ask := time.NewTimer(wait)
		select {
		case <-ask.C:
		case <-ctx.Done():
			ask.Stop()
			return false
		case <-deadline.C:
			ask.Stop()
			f.giveUp(i, p)
			return false
		}
	}
}

// askHealth makes one check. Nothing reaches an instance in a blackhole, except for
// what runs beside it.
func (f *Fleet) askHealth(ctx context.Context, i *instance, p *probe) (string, error) {
	f.mu.Lock()
	lost := len(p.Command) == 0 && f.blackholed(i.group.cluster, i.id)
	f.mu.Unlock()
	if !lost {
		return p.check(ctx)
	}
	injection.Pause(time.Duration(p.Timeout), ctx.Done())
	err := fmt.Errorf("no answer within %s: an injected fault keeps everything from it", time.Duration(p.Timeout))
	return err.Error(), err
}

// note keeps the answer to a check. Watchers of a starting instance are notified
// when the answer differs from the last.
func (f *Fleet) note(i *instance, detail string, failed error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	other := i.probeDetail != detail
	i.probeDetail, i.probeFailed = detail, failed != nil
	if other && i.probeFailed && i.lifecycle == driver.Pending {
		f.bump(i.group.cluster)
	}
}

// putIntoService puts a ready instance into service. The balancer is told first.
func (f *Fleet) putIntoService(i *instance) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i.lifecycle != driver.Pending || !i.running {
		return false
	}
	i.ready, i.live, i.failure = true, true, nil
	f.launched(i.group)
	i.registered = !f.suspended(i.group, processAddToLoadBalancer)
	i.lifecycle, i.served, i.serving = driver.InService, true, f.config.Now()
	f.push(i.group.cluster)
	f.bump(i.group.cluster)
	f.requestPass()
	return true
}

func (f *Fleet) suspended(g *group, process string) bool {
	for _, p := range f.doc.Groups[g.name].Suspended {
		if p == process {
			return true
		}
	}
	return false
}

// giveUp ends an instance that did not become healthy within its grace period.
func (f *Fleet) giveUp(i *instance, p *probe) {
	hint := f.hint(i)
	f.mu.Lock()
	defer f.mu.Unlock()
	if i.lifecycle != driver.Pending || !i.running {
		return
	}
	i.failure = &driver.InstanceFailure{Code: "NEVER_HEALTHY", At: f.config.Now(), Probe: i.probeDetail, LastLog: lastLines(f.output(i.group.name, i.id)),
		Cause: fmt.Sprintf("it runs but was not healthy within %s%s", time.Duration(p.Grace), hint)}
	f.failed(i, false)
	f.end(i, "it did not become healthy", false)
	f.requestPass()
}

// hint looks for a common reason why a running program does not answer.
func (f *Fleet) hint(i *instance) string {
	host, port, err := net.SplitHostPort(i.address)
	if err != nil {
		return ""
	}
	answers := func(host string) bool {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(host, port), time.Second)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	}
	switch {
	case answers(host):
	case host != "127.0.0.1" && answers("127.0.0.1"):
		return fmt.Sprintf("; it listens on 127.0.0.1:%s only: let it listen on $HOST:$PORT, %s", port, i.address)
	default:
		return fmt.Sprintf("; nothing listens on $PORT, %s", port)
	}
	return f.descriptorHint(i)
}

// descriptorHint reports whether an instance has used up its file descriptors.
func (f *Fleet) descriptorHint(i *instance) string {
	f.mu.Lock()
	spec, started := f.doc.Groups[i.group.name].Spec, i.process
	f.mu.Unlock()
	if spec.Limits == nil || spec.Limits.Files <= 0 || started == nil {
		return ""
	}
	if n := process.OpenFiles(started.PID()); n >= spec.Limits.Files-1 {
		return "; it holds " + strconv.Itoa(n) + " open files, its limit is " + strconv.Itoa(spec.Limits.Files)
	}
	return ""
}

// check is one kind of health check of an instance in service, and its results so
// far.
type check struct {
	*probe
	next                time.Time
	failures, successes int
	failed              bool
}

// feed counts a result and says whether it changed the verdict.
func (c *check) feed(err error) bool {
	if err != nil {
		c.successes = 0
		c.failures++
		if !c.failed && c.failures >= c.Unhealthy {
			c.failed = true
			return true
		}
		return false
	}
	c.failures = 0
	c.successes++
	if c.failed && c.successes >= c.Healthy {
		c.failed = false
		return true
	}
	return false
}

// watchServing checks an instance in service. It returns true when the instance
// came back from standby and has to become ready again.
func (f *Fleet) watchServing(ctx context.Context, i *instance, readiness, liveness *probe) bool {
	now := time.Now()
	checks := []*check{{probe: readiness, next: now.Add(time.Duration(readiness.Interval))}}
	if liveness != nil {
		checks = append(checks, &check{probe: liveness, next: now.Add(time.Duration(liveness.Interval))})
	}
	for {
		due := checks[0]
		if len(checks) > 1 && checks[1].next.Before(due.next) {
			due = checks[1]
		}
		timer := time.NewTimer(time.Until(due.next))
		complaint := ""
		select {
		case <-timer.C:
		case complaint = <-i.checkNow:
		case <-i.returned:
			timer.Stop()
			return true
		case <-ctx.Done():
			timer.Stop()
			return false
		}
		timer.Stop()
		if f.inStandby(i) { // checks of this kind are disabled
			due.next = time.Now().Add(time.Duration(due.Interval))
			continue
		}
		if complaint != "" {
			due = checks[0]
			if due.feed(errors.New(complaint)) {
				f.judge(ctx, i, checks, "the balancer: "+complaint)
			}
		}
		// The interval counts from start to start, so a slow check does not delay
		// the next one.
		due.next = time.Now().Add(time.Duration(due.Interval))
		detail, err := f.askHealth(ctx, i, due.probe)
		if ctx.Err() != nil {
			return false
		}
		f.note(i, detail, err)
		if due.feed(err) {
			f.judge(ctx, i, checks, detail)
		}
	}
}

func (f *Fleet) inStandby(i *instance) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return i.lifecycle == driver.InStandby
}

// judge applies a changed verdict. Failing readiness removes the instance from
// the balancer. Failing liveness (readiness, where no liveness is given) makes
// the instance unhealthy, to be replaced. An instance that passes its checks
// again before it is replaced is kept. In Auto Scaling the mark is final, which
// turns a passing overload into a wave of replacements.
func (f *Fleet) judge(ctx context.Context, i *instance, checks []*check, detail string) {
	alive := checks[len(checks)-1]
	hint := ""
	if alive.failed {
		hint = f.descriptorHint(i)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	// A living instance with a failure is already being killed for it: by an
	// outage, or over its limit.
	if i.lifecycle != driver.InService || !i.running || ctx.Err() != nil || i.live && i.failure != nil && !i.markedUnhealthy {
		return
	}
	was := i.healthy()
	i.ready = !checks[0].failed
	switch wasLive := i.live; {
	case wasLive && alive.failed:
		i.live = false
		i.failure = &driver.InstanceFailure{Code: "UNHEALTHY", At: f.config.Now(), Probe: detail, LastLog: lastLines(f.output(i.group.name, i.id)),
			Cause: fmt.Sprintf("%d checks in a row failed%s", alive.Unhealthy, hint)}
		f.failed(i, true)
	case !wasLive && !alive.failed:
		i.live, i.counted = true, false
		if !i.markedUnhealthy {
			i.failure = nil
		}
	}
	if !was && i.healthy() {
		i.serving = f.config.Now()
	}
	f.push(i.group.cluster)
	f.bump(i.group.cluster)
	f.requestPass()
}

// checkHealth refuses a probe that does not have exactly one kind.
func checkHealth(what string, h pipeline.Health) error {
	n := 0
	for _, given := range []bool{h.Path != "", h.TCP, len(h.Command) > 0} {
		if given {
			n++
		}
	}
	if n != 1 {
		return fmt.Errorf("%s needs exactly one of path, tcp and command", what)
	}
	return nil
}
