package trigger

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"
	"time"

	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/source"
	"showrunner/store/record"
)

const (
	schedules = "schedules"
	polls     = "polls"
	followers = "followers"
)

// Status is the state of a trigger. For pushes and webhooks it holds only what
// the definition says; Deliveries shows the calls that arrived for them.
type Status struct {
	Application string    `json:"application"`
	Pipeline    string    `json:"pipeline"`
	Kind        string    `json:"kind"`                // push, poll, schedule, pipeline or webhook
	Trigger     string    `json:"trigger"`             // its object: a repository, cron fields, a pipeline, a name
	Next        time.Time `json:"next,omitzero"`       // when the next poll or schedule is due
	Last        time.Time `json:"last,omitzero"`       // when it last started an execution
	Execution   string    `json:"execution,omitempty"` // the execution that it last started
	// Error says why the last poll or start failed, Failures how many in a row
	// have failed, and Failing since when.
	Error    string    `json:"error,omitempty"`
	Failures int       `json:"failures,omitempty"`
	Failing  time.Time `json:"failing,omitzero"`
	// Blocked says why the trigger cannot start anything at present, whether or
	// not a start was tried.
	Blocked string `json:"blocked,omitempty"`
	// Addresses are the addresses for deliveries, of a push or a webhook.
	Addresses []string `json:"addresses,omitempty"`
}

// Fails says that the trigger is blocked or that its last try failed.
func (st Status) Fails() bool { return st.Blocked != "" || st.Failures > 0 }

// Why says why the trigger fails.
func (st Status) Why() string { return cmp.Or(st.Blocked, st.Error) }

// The events that report when a poll, a schedule or a trigger that follows a
// pipeline stops working, and when it works again.
const (
	eventFailed    = "trigger.failed"
	eventRecovered = "trigger.recovered"
)

// recordFailure records in the status that a poll or start failed.
func (st *Status) recordFailure(now time.Time, err error) {
	if st.Failures++; st.Failures == 1 {
		st.Failing = now.UTC()
	}
	st.Error = reasonOf(err)
}

// recordSuccess records in the status that a poll or start succeeded.
func (st *Status) recordSuccess() { st.Error, st.Failures, st.Failing = "", 0, time.Time{} }

// event is the event for the change from before to st, if any.
func (st *Status) event(now time.Time, before Status) []record.Event {
	e := record.Event{Time: now.UTC(), Application: st.Application, Pipeline: st.Pipeline}
	switch {
	case before.Failures == 0 && st.Failures > 0:
		e.Type = eventFailed
	case before.Failures > 0 && st.Failures == 0:
		e.Type = eventRecovered
	default:
		return nil
	}
	data, err := json.Marshal(map[string]string{"kind": st.Kind, "trigger": st.Trigger, "error": st.Error})
	if err != nil {
		panic(err) // strings can always be encoded
	}
	e.Data = data
	return []record.Event{e}
}

// describe describes a trigger: its kind, and the fields that distinguish it from
// others of that kind.
func describe(def Definition, t pipeline.Trigger) (kind, what string) {
	switch {
	case t.Push != nil:
		return "push", strings.Join(describeRepository(cmp.Or(t.Push.Repository, "any repository"), t.Push.Branches, t.Push.Tags, t.Push.Paths), " ")
	case t.Poll != nil:
		return "poll", strings.Join(describeRepository(source.Redact(t.Poll.URL), t.Poll.Branches, t.Poll.Tags, t.Poll.Paths), " ")
	case t.Schedule != nil:
		return "schedule", strings.TrimSpace(t.Schedule.Cron + " " + t.Schedule.Zone)
	case t.Pipeline != nil:
		return "pipeline", cmp.Or(t.Pipeline.Application, def.Application) + "/" + t.Pipeline.Pipeline + " " + strings.Join(statusesOf(t.Pipeline), ",")
	case t.Webhook != nil:
		return "webhook", t.Webhook.Name
	}
	return "", ""
}

// describeRepository describe a repository and the filters on it.
func describeRepository(repository string, branches, tags, paths []string) []string {
	list := []string{repository}
	for _, part := range []struct {
		word  string
		globs []string
	}{{"branches", branches}, {"tags", tags}, {"paths", paths}} {
		if len(part.globs) > 0 {
			list = append(list, part.word, strings.Join(part.globs, ","))
		}
	}
	return list
}

// Reader lists records; Records is one.
type Reader interface {
	ListRecords(ctx context.Context, collection, prefix, after string, limit int) ([]record.Record, error)
}

// Statuses returns the state of every trigger of the definitions, in their order,
// and whether it can start anything in its surroundings. Application narrows
// which records are read, not which triggers are returned.
func Statuses(ctx context.Context, records Reader, application string, defs []Definition, in Surroundings) ([]Status, error) {
	kept, err := keptStatuses(ctx, records, application)
	if err != nil {
		return nil, err
	}
	list := []Status{}
	for _, def := range defs {
		for _, w := range triggersWithID(def) {
			st := kept[recordKey(def, w.id)]
			st.Application, st.Pipeline = def.Application, def.Pipeline.Name
			st.Kind, st.Trigger = describe(def, w.trigger)
			st.Blocked, st.Addresses = blocked(def, w.trigger, in), addresses(def, w.trigger, in)
			list = append(list, st)
		}
	}
	return list, nil
}

// keptStatuses reads the stored states of an application's triggers, or of all
// when application is empty, by the records' keys.
func keptStatuses(ctx context.Context, records Reader, application string) (map[string]Status, error) {
	const page = 500
	prefix := ""
	if application != "" {
		prefix = application + "/"
	}
	kept := map[string]Status{}
	for _, collection := range []string{schedules, polls, followers} {
		for after := ""; ; {
			list, err := records.ListRecords(ctx, collection, prefix, after, page)
			if err != nil {
				return nil, problem.Wrap(err, "", "trigger.statuses", "listing %s", collection)
			}
			for _, r := range list {
				after = r.Key
				var state struct {
					Status Status `json:"status"`
				}
				if err := json.Unmarshal(r.Data, &state); err != nil {
					state.Status = Status{Error: "its stored state is damaged: " + err.Error(), Failures: 1}
				}
				kept[r.Key] = state.Status
			}
			if len(list) < page {
				break
			}
		}
	}
	return kept, nil
}
