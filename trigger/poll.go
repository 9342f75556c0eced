package trigger

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/secret"
	"showrunner/source"
)

// defaultEvery is the default interval of polls.
const defaultEvery = time.Minute

// pollState is the record of a poll: the tips of the refs that have been seen. A
// ref is entered after its pipeline was started, or when the first poll saw the
// ref.
type pollState struct {
	Format int    `json:"format"` // 1
	Status Status `json:"status"`
	// Filter is the filter that chose Refs. After the filter changes, refs that
	// come into view are not new.
	Filter string            `json:"filter"`
	Refs   map[string]string `json:"refs"`
	// Changes counts the polls that found a change. So a ref that returns to an
	// earlier commit makes a new event.
	Changes int `json:"changes"`
	// Every is the interval that Status.Next was computed with.
	Every pipeline.Duration `json:"every"`
}

// poll asks a remote once and starts pipelines for new commits. The replica that
// first writes the time of the next poll is the one that asks. The first poll of
// a trigger starts nothing.
func (s *Service) poll(ctx context.Context, id string, def Definition, t pipeline.Trigger) (time.Time, error) {
	key := recordKey(def, id)
	var state pollState
	version, err := s.load(ctx, polls, key, &state)
	if err != nil {
		return time.Time{}, err
	}
	now := s.o.Now()
	every := time.Duration(cmp.Or(t.Poll.Every, pipeline.Duration(defaultEvery)))
	if state.Every == pipeline.Duration(every) && state.Status.Next.After(now) && state.Status.Next.Sub(now) <= max(every, lastRetry) {
		return state.Status.Next, nil // already polled; a time further away than one interval means that the clock was set back
	}
	state.Format, state.Every = 1, pipeline.Duration(every)
	state.Status.Application, state.Status.Pipeline = def.Application, def.Pipeline.Name
	state.Status.Kind, state.Status.Trigger = describe(def, t)
	state.Status.Next = s.after(now, every, 0)
	if version, err = s.save(ctx, polls, key, version, state); err != nil {
		if problem.CodeOf(err) == problem.Conflict {
			return now.Add(every), nil
		}
		return time.Time{}, err
	}
	before := state.Status
	err = s.look(ctx, id, def, t, &state)
	if ctx.Err() != nil {
		return time.Time{}, ctx.Err()
	}
	if err != nil {
		state.Status.recordFailure(now, err)
		state.Status.Next = s.after(s.o.Now(), every, state.Status.Failures)
	} else {
		state.Status.recordSuccess()
	}
	if _, err := s.save(ctx, polls, key, version, state, state.Status.event(s.o.Now(), before)...); err != nil && problem.CodeOf(err) != problem.Conflict {
		return time.Time{}, err
	}
	return state.Status.Next, nil
}

// after spreads polls randomly by a tenth, and lengthens the interval while they
// fail.
func (s *Service) after(now time.Time, every time.Duration, failures int) time.Time {
	pause := every
	if failures > 0 {
		pause = max(every, min(lastRetry, every<<min(failures, 10)))
	}
	return now.Add(pause - time.Duration(s.o.Rand()*float64(pause)/10)).UTC()
}

// look compares the remote with the tips that have been seen and starts pipelines
// for changes. state records finished work even when look returns an error.
func (s *Service) look(ctx context.Context, id string, def Definition, t pipeline.Trigger, state *pollState) error {
	q, err := s.request(ctx, t.Poll)
	if err != nil {
		return err
	}
	refs, err := s.o.Repositories.Refs(ctx, q)
	if err != nil {
		return err
	}
	filter := filterOf(t.Poll)
	baseline := state.Refs == nil || state.Filter != filter
	tips := wanted(t.Poll, refs)
	seen := map[string]string{}
	var failed error
	changes := state.Changes + 1
	for _, ref := range slices.Sorted(maps.Keys(tips)) {
		tip, before := tips[ref], state.Refs[ref]
		switch {
		case tip == before, before == "" && baseline:
			seen[ref] = tip
			continue
		}
		err := s.changed(ctx, id, def, t, q, state, ref, before, tip, changes)
		if err == nil {
			seen[ref] = tip
			state.Changes = changes
			continue
		}
		failed = err
		if _, final := failedOutcome(err); final {
			seen[ref] = tip // a repeated start would fail again
			state.Changes = changes
		} else if before != "" {
			seen[ref] = before
		}
	}
	state.Refs, state.Filter = seen, filter
	return failed
}

// changed starts the pipeline for one moved ref, unless the changed paths do not
// match.
func (s *Service) changed(ctx context.Context, id string, def Definition, t pipeline.Trigger, q source.Request, state *pollState, ref, before, tip string, changes int) error {
	values := map[string]any{"kind": "poll", "repository": "", "url": source.Redact(t.Poll.URL), "ref": ref, "commit": tip, "before": before, "branch": "", "tag": ""}
	if branch, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
		values["branch"] = branch
	} else if tag, ok := strings.CutPrefix(ref, "refs/tags/"); ok {
		values["tag"] = tag
	}
	if len(t.Poll.Paths) > 0 && before != "" {
		paths, err := s.o.Repositories.Changed(ctx, q, before, tip)
		unknown := ""
		if err != nil {
			if problem.CodeOf(err) == problem.Unavailable {
				return err
			}
			unknown = "the earlier commit is gone"
		}
		list := make([]any, len(paths))
		for i, p := range paths {
			list[i] = p
		}
		values["paths"] = list
		if v := matchPaths(t.Poll.Paths, paths, unknown); !v.yes {
			return nil
		}
	}
	event := fmt.Sprintf("%s %s..%s #%d", ref, before, tip, changes)
	values["id"] = event
	started, err := begin(ctx, s.o.Starter, t, values, Start{Definition: def, TriggerID: id, EventID: event, By: "poll"})
	if err != nil {
		return err
	}
	state.Status.Last, state.Status.Execution = s.o.Now().UTC(), started.Execution
	return nil
}

// wanted selects the refs that a poll watches: ref → commit.
func wanted(p *pipeline.PollTrigger, refs source.Refs) map[string]string {
	tips := map[string]string{}
	if len(p.Branches) == 0 && len(p.Tags) == 0 {
		if refs.HeadTip != "" {
			name := "HEAD"
			if refs.Head != "" {
				name = "refs/heads/" + refs.Head
			}
			tips[name] = refs.HeadTip
		}
		return tips
	}
	for branch, tip := range refs.Branches {
		if len(p.Branches) > 0 && matchAny(p.Branches, branch) {
			tips["refs/heads/"+branch] = tip
		}
	}
	for tag, tip := range refs.Tags {
		if len(p.Tags) > 0 && matchAny(p.Tags, tag) {
			tips["refs/tags/"+tag] = tip
		}
	}
	return tips
}

func filterOf(p *pipeline.PollTrigger) string {
	raw, err := json.Marshal([][]string{p.Branches, p.Tags})
	if err != nil {
		panic(err) // strings can always be encoded
	}
	return string(raw)
}

// request is the request to the remote, with the values of the credentials'
// secrets.
func (s *Service) request(ctx context.Context, p *pipeline.PollTrigger) (source.Request, error) {
	q := source.Request{URL: p.URL}
	if p.Credentials == nil {
		return q, nil
	}
	expand := secret.Expander{Secrets: s.o.Secrets}
	for _, f := range []struct {
		from string
		to   *string
	}{{p.Credentials.Username, &q.Credentials.Username}, {p.Credentials.Password, &q.Credentials.Password},
		{p.Credentials.SSHKey, &q.Credentials.SSHKey}, {p.Credentials.KnownHosts, &q.Credentials.KnownHosts}} {
		value, err := expand.Expand(ctx, f.from)
		if err != nil {
			return source.Request{}, err
		}
		*f.to = value
	}
	return q, nil
}
