package execution

import (
	"encoding/json"
	"strconv"
	"time"
)

// A stage and most events are encoded at every transition. Reflection would cost more
// than the decision itself, so they are written field by field. The bytes are those
// that package json writes for the same value; a test compares every field. Rare
// values, and values of tasks, are left to package json.

// encodeStage returns the persisted form of a stage.
func encodeStage(r *StageState) ([]byte, error) {
	o := newObject(384)
	o.number("v", stageVersion)
	o.text("name", r.Name)
	o.text("kind", r.Kind)
	o.key("status")
	o.quote(string(r.Status))
	o.number("attempt", r.Attempt)
	o.text("phase", string(r.Phase))
	o.text("reason", r.Reason)
	o.time("until", r.Until)
	o.time("waitsUntil", r.WaitsUntil)
	o.text("task", r.Task)
	if len(r.Tasks) > 0 {
		o.key("tasks")
		o.tasks(r.Tasks)
	}
	o.other("outputs", r.Outputs, len(r.Outputs) > 0)
	o.other("artifacts", r.Artifacts, len(r.Artifacts) > 0)
	o.other("failure", r.Failure, r.Failure != nil)
	o.time("started", r.Started)
	o.time("ended", r.Ended)
	o.other("history", r.History, len(r.History) > 0)
	o.text("progress", r.Progress)
	o.text("activity", string(r.Activity)) // as Progress, it is not set in what is stored
	o.other("state", r.State, len(r.State) > 0)
	o.number("tries", r.Tries)
	o.number("seen", r.Seen)
	o.text("stop", r.Stop)
	o.flag("stopping", r.Stopping)
	o.number("cursor", r.Cursor)
	o.number("skips", r.Skips)
	o.number("retries", r.Retries)
	return o.end()
}

// encode returns what most events of a stage carry.
func (d eventData) encode() ([]byte, error) {
	o := newObject(96)
	o.number("attempt", d.Attempt)
	o.text("kind", d.Kind)
	o.text("task", d.Task)
	o.text("outcome", string(d.Outcome))
	o.text("next", d.Next)
	o.text("reason", d.Reason)
	o.time("until", d.Until)
	o.other("failure", d.Failure, d.Failure != nil)
	return o.end()
}

// object is a JSON object being written. Fields that are empty are left out,
// but for those that key begins.
type object struct {
	b   []byte
	err error // the first one
}

func newObject(size int) *object { return &object{b: append(make([]byte, 0, size), '{')} }

func (o *object) end() ([]byte, error) { return append(o.b, '}'), o.err }

// key begins a field; its name is plain.
func (o *object) key(name string) {
	if o.b[len(o.b)-1] != '{' {
		o.b = append(o.b, ',')
	}
	o.b = append(append(append(o.b, '"'), name...), '"', ':')
}

func (o *object) number(name string, n int) {
	if n != 0 {
		o.key(name)
		o.b = strconv.AppendInt(o.b, int64(n), 10)
	}
}

func (o *object) text(name, s string) {
	if s != "" {
		o.key(name)
		o.quote(s)
	}
}

func (o *object) flag(name string, on bool) {
	if on {
		o.key(name)
		o.b = append(o.b, "true"...)
	}
}

func (o *object) time(name string, t *time.Time) {
	if t != nil {
		o.key(name)
		o.when(*t)
	}
}

// other writes a value of any kind.
func (o *object) other(name string, v any, present bool) {
	if present {
		o.key(name)
		o.any(v)
	}
}

func (o *object) tasks(tasks []TaskState) {
	o.b = append(o.b, '[')
	for i := range tasks {
		t := &tasks[i]
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = append(o.b, '{')
		o.key("name")
		o.quote(t.Name)
		o.text("outcome", string(t.Outcome))
		o.key("started")
		o.when(t.Started)
		o.time("ended", t.Ended)
		o.b = append(o.b, '}')
	}
	o.b = append(o.b, ']')
}

func (o *object) quote(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			o.any(s)
			return
		}
	}
	o.b = append(append(append(o.b, '"'), s...), '"')
}

func (o *object) when(t time.Time) {
	o.b = append(o.b, '"')
	b, err := t.AppendText(o.b)
	if err != nil {
		o.fail(err)
		return
	}
	o.b = append(b, '"')
}

func (o *object) any(v any) {
	data, err := json.Marshal(v)
	if err != nil {
		o.fail(err)
	}
	o.b = append(o.b, data...)
}

func (o *object) fail(err error) {
	if o.err == nil {
		o.err = err
	}
}
