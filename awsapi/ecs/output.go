package ecs

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"showrunner/awsapi/logs"
	"showrunner/cloud"
	"showrunner/problem"
)

// LogGroups keeps what tasks write.
type LogGroups interface {
	// HasGroup says whether a log group is there.
	HasGroup(ctx context.Context, region, group string) (bool, error)
	// Append adds lines, oldest first, to a stream; both are made where they are missing.
	Append(ctx context.Context, region, group, stream string, lines []logs.Line) error
}

// logTo is where a task's output goes, by the log driver awslogs.
type logTo struct {
	Region string `json:"region"`
	Group  string `json:"group"`
	Prefix string `json:"prefix,omitempty"` // of its stream: PREFIX/CONTAINER/TASK
	Create bool   `json:"create,omitempty"` // the group is made where it is missing
}

// stream is the log stream of a task.
func (l logTo) stream(instance string) string {
	if l.Prefix == "" {
		return taskID(instance)
	}
	return l.Prefix + "/" + taskID(instance)
}

// checkLogs refuses a log configuration of a container that is not whole, and what cannot
// be had here of awslogs. Other drivers are kept and do nothing.
func checkLogs(c object) error {
	configuration := c.Inner("logConfiguration")
	if configuration.Text("logDriver") != "awslogs" {
		return nil
	}
	options := configuration.Inner("options")
	switch {
	case options.Text("awslogs-group") == "" || options.Text("awslogs-region") == "":
		return refusal("Log driver awslogs requires options: awslogs-group, awslogs-region")
	case options.Has("awslogs-multiline-pattern") || options.Has("awslogs-datetime-format"):
		return unsupported("awslogs-multiline-pattern and awslogs-datetime-format of the container " + c.Text("name") + ": each line is an event")
	case len(configuration.Objects("secretOptions")) > 0:
		return unsupported("secretOptions of a log configuration")
	}
	return nil
}

// logs is where a definition's container has its output sent; nil for nowhere. Errors:
// ClientException for a group that is not there.
func (s *Service) logs(ctx context.Context, c object) (*logTo, error) {
	configuration := c.Inner("logConfiguration")
	if configuration.Text("logDriver") != "awslogs" || s.Logs == nil {
		return nil, nil
	}
	options := configuration.Inner("options")
	l := &logTo{Region: options.Text("awslogs-region"), Group: options.Text("awslogs-group"), Create: strings.EqualFold(options.Text("awslogs-create-group"), "true")}
	if prefix := options.Text("awslogs-stream-prefix"); prefix != "" {
		l.Prefix = prefix + "/" + c.Text("name")
	}
	if !slices.Contains(s.Regions, l.Region) {
		return nil, refusal("There is no local region %s, which awslogs-region of the container %s names; the regions are %s.", l.Region, c.Text("name"), strings.Join(s.Regions, ", "))
	}
	there, err := s.Logs.HasGroup(ctx, l.Region, l.Group)
	if err == nil && !there && !l.Create {
		err = refusal("ResourceInitializationError: failed to validate logger args: The specified log group does not exist: %s in %s. Make it, or set awslogs-create-group.", l.Group, l.Region)
	}
	return l, err
}

// written is how much of a task's output is in its log stream.
type written struct {
	Instance string    `json:"instance"`
	To       logTo     `json:"to"`
	Bytes    int64     `json:"bytes"`
	Last     []byte    `json:"last,omitempty"` // the end of those bytes, to find the place in what is left of a long output
	Whole    bool      `json:"whole,omitempty"`
	Seen     time.Time `json:"seen"` // when the task was listed first
	Holder   string    `json:"holder,omitempty"`
	Until    time.Time `json:"until,omitzero"` // the holder's, where several control planes share the records
}

const (
	lastKept  = 256
	heldFor   = 30 * time.Second
	renewed   = 10 * time.Second
	flushed   = 300 * time.Millisecond // how long lines wait for others at most
	unwritten = 1 << 20                // bytes that wait to be written; the output waits beyond
)

// follower follows the output of one task.
type follower struct {
	s      *Service
	region string
	doc    written
	ctx    context.Context // of the one call that follows

	mu    sync.Mutex
	more  *sync.Cond
	text  []byte // read and not written yet
	ready chan struct{}
	skip  int64  // bytes that were written before
	tail  []byte // of what was skipped, until its end is compared
}

// followOutputs follows the outputs of tasks whose log driver is awslogs, and that are not
// followed. The followers end with ctx.
func (s *Service) followOutputs(ctx context.Context, region string, services []service, groups []cloud.ServerGroup) error {
	if s.Logs == nil {
		return nil
	}
	if err := s.findOutputs(ctx, region, services, groups); err != nil {
		return err
	}
	for e, err := range s.outputs.All(ctx, region+"/") {
		if err != nil {
			return err
		}
		doc, key := e.Doc, e.Key
		if doc.Whole {
			if s.Now().Sub(doc.Seen) > 2*endedKept && !present(doc.Instance, groups) {
				if err := s.outputs.Delete(ctx, key, nil); err != nil && problem.CodeOf(err) != problem.NotFound {
					return err
				}
				s.followed.Delete(key)
			}
			continue
		}
		if _, already := s.followed.LoadOrStore(key, true); already || !s.hold(ctx, key, &doc) {
			if !already {
				s.followed.Delete(key)
			}
			continue
		}
		s.following.Go(func() {
			defer s.followed.Delete(key)
			if err := newFollower(s, region, doc).run(ctx, key); err != nil && ctx.Err() == nil {
				s.Log.Warn("the output of a task of ECS", "instance", doc.Instance, "error", err)
			}
		})
	}
	return nil
}

func present(instance string, groups []cloud.ServerGroup) bool {
	is := func(i cloud.Instance) bool { return i.ID == instance }
	return slices.ContainsFunc(groups, func(g cloud.ServerGroup) bool {
		return slices.ContainsFunc(g.Instances, is) || slices.ContainsFunc(g.Ended, is)
	})
}

// findOutputs records the tasks whose output is to be followed.
func (s *Service) findOutputs(ctx context.Context, region string, services []service, groups []cloud.ServerGroup) error {
	to := map[string]*logTo{} // by server group
	for _, v := range services {
		for _, d := range v.Deployments {
			if d.Group != "" && d.Launch.Log != nil {
				to[d.Group] = d.Launch.Log
			}
		}
	}
	for e, err := range s.runs.All(ctx, region+"/") {
		if err != nil {
			return err
		}
		if e.Doc.ServerGroup != "" && e.Doc.Launch.Log != nil {
			to[e.Doc.ServerGroup] = e.Doc.Launch.Log
		}
	}
	for _, g := range groups {
		l := to[g.Name]
		if l == nil {
			continue
		}
		for _, i := range slices.Concat(g.Instances, g.Ended) {
			key := region + "/" + i.ID
			if _, known := s.found.LoadOrStore(key, true); known || i.Lifecycle == cloud.Terminated && s.Now().Sub(i.Ended) > endedKept {
				continue
			}
			err := s.outputs.Create(ctx, key, written{Instance: i.ID, To: *l, Seen: s.Now().UTC()})
			if err != nil && problem.CodeOf(err) != problem.Conflict {
				s.found.Delete(key)
				return err
			}
		}
	}
	return nil
}

// hold has this control plane be the one that follows an output, or go on being it.
func (s *Service) hold(ctx context.Context, key string, doc *written) bool {
	if s.Alone {
		return true
	}
	now, err := s.outputs.Update(ctx, key, func(d *written) error {
		if d.Holder != s.holder && d.Until.After(s.Now()) {
			return problem.New(problem.Conflict, "ecs.output", "another control plane follows %s", key)
		}
		d.Holder, d.Until = s.holder, s.Now().Add(heldFor).UTC()
		return nil
	})
	if err == nil {
		*doc = now
	}
	return err == nil
}

func newFollower(s *Service, region string, doc written) *follower {
	f := &follower{s: s, region: region, doc: doc, ready: make(chan struct{}, 1), skip: doc.Bytes}
	f.more = sync.NewCond(&f.mu)
	return f
}

// run writes the output into its stream until the task has ended and all is written.
func (f *follower) run(ctx context.Context, key string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.ctx = ctx
	if err := f.append(ctx, key, nil, false); err != nil { // the stream is there from the start
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- f.s.Output(ctx, f.region, f.doc.Instance, f) }()
	release := context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.more.Broadcast()
	})
	defer release()
	var renew <-chan time.Time
	if !f.s.Alone {
		tick := time.NewTicker(renewed)
		defer tick.Stop()
		renew = tick.C
	}
	for {
		select {
		case err := <-ended:
			if problem.CodeOf(err) == problem.NotFound { // nothing of it is kept
				err = nil
			}
			if err != nil || ctx.Err() != nil {
				return err
			}
			return f.append(ctx, key, f.take(true), true)
		case <-f.ready:
			if err := f.append(ctx, key, f.take(false), false); err != nil {
				return err
			}
			wait := time.NewTimer(flushed)
			select {
			case <-wait.C:
			case <-ctx.Done():
				wait.Stop()
				return nil
			}
		case <-renew:
			if !f.s.hold(ctx, key, &f.doc) {
				return nil
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// Write takes what a task has written, without what was written to its stream before.
func (f *follower) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(p)
	if f.skip > 0 {
		p = f.skipped(p)
	}
	f.text = append(f.text, p...)
	for len(f.text) > unwritten && f.ctx.Err() == nil {
		f.wake()
		f.more.Wait()
	}
	if len(f.text) > 0 {
		f.wake()
	}
	return n, nil
}

func (f *follower) wake() {
	select {
	case f.ready <- struct{}{}:
	default:
	}
}

// skipped is what follows the part of an output that was written before. Where the end of
// that part is not what was written last, the beginning of a long output is gone: the
// place is looked for in what is left.
func (f *follower) skipped(p []byte) []byte {
	f.tail = append(f.tail, p...)
	if int64(len(f.tail)) < f.skip {
		return nil
	}
	rest := f.tail[f.skip:]
	if !bytes.HasSuffix(f.tail[:f.skip], f.doc.Last) {
		if at := bytes.LastIndex(f.tail, f.doc.Last); at >= 0 {
			rest = f.tail[at+len(f.doc.Last):]
		} else {
			rest = f.tail
		}
	}
	rest = bytes.Clone(rest)
	f.skip, f.tail = 0, nil
	return rest
}

// take is what can be written: whole lines, and the rest as well when all has been read.
func (f *follower) take(all bool) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.skip > 0 && all { // less is left than was written: its beginning is gone
		if at := bytes.LastIndex(f.tail, f.doc.Last); at >= 0 {
			f.text = append(f.text, f.tail[at+len(f.doc.Last):]...)
		} else {
			f.text = append(f.text, f.tail...)
		}
		f.skip, f.tail = 0, nil
	}
	n := bytes.LastIndexByte(f.text, '\n') + 1
	if all || n == 0 && len(f.text) > unwritten {
		n = len(f.text)
	}
	out := bytes.Clone(f.text[:n])
	f.text = append(f.text[:0], f.text[n:]...)
	f.more.Broadcast()
	return out
}

// append writes lines into the stream, and then records that they are there: a crash in
// between writes them twice. Lines for a group that was deleted are lost, as at AWS.
func (f *follower) append(ctx context.Context, key string, text []byte, whole bool) error {
	now := f.s.Now()
	var lines []logs.Line
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			lines = append(lines, logs.Line{At: now, Text: strings.ToValidUTF8(line, "\uFFFD")})
		}
	}
	there, err := f.s.Logs.HasGroup(ctx, f.doc.To.Region, f.doc.To.Group)
	if err == nil && (there || f.doc.To.Create) && (len(lines) > 0 || f.doc.Bytes == 0) {
		err = f.s.Logs.Append(ctx, f.doc.To.Region, f.doc.To.Group, f.doc.To.stream(f.doc.Instance), lines)
	}
	if err != nil || len(text) == 0 && !whole {
		return err
	}
	f.doc, err = f.s.outputs.Update(ctx, key, func(d *written) error {
		d.Bytes += int64(len(text))
		last := append(bytes.Clone(d.Last), text...)
		d.Last = last[max(0, len(last)-lastKept):]
		d.Whole = whole
		return nil
	})
	return err
}

var _ io.Writer = (*follower)(nil)
