package ecs_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"showrunner/awsapi/awstest"
	"showrunner/awsapi/ecs"
	"showrunner/awsapi/logs"
	"showrunner/store/record/recordtest"
)

// outputs are what instances have written, as a region keeps it.
type outputs struct {
	mu      sync.Mutex
	text    map[string]string
	ended   map[string]bool
	changed chan struct{}
	lines   chan string // that were written to a stream, each with its stream
}

func newOutputs() *outputs {
	return &outputs{text: map[string]string{}, ended: map[string]bool{}, changed: make(chan struct{}), lines: make(chan string, 1000)}
}

func (o *outputs) set(instance, text string, ended bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text[instance], o.ended[instance] = text, ended
	close(o.changed)
	o.changed = make(chan struct{})
}

// follow copies as a region does: what there is, and what comes.
func (o *outputs) follow(ctx context.Context, _, instance string, to io.Writer) error {
	sent := 0
	for {
		o.mu.Lock()
		text, ended, changed := o.text[instance], o.ended[instance], o.changed
		o.mu.Unlock()
		if _, err := io.WriteString(to, text[min(sent, len(text)):]); err != nil {
			return err
		}
		sent = len(text)
		if ended {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// groups is a log service that says what is appended.
type groups struct {
	*logs.Logs
	lines chan string
}

func (g groups) Append(ctx context.Context, region, group, stream string, lines []logs.Line) error {
	err := g.Logs.Append(ctx, region, group, stream, lines)
	for _, l := range lines {
		g.lines <- group + " " + stream + " " + l.Text
	}
	return err
}

func logging(more object) object {
	options := object{"awslogs-group": "/ecs/shop", "awslogs-region": awstest.Region, "awslogs-stream-prefix": "web"}
	for k, v := range more {
		options[k] = v
	}
	return task(object{"logConfiguration": object{"logDriver": "awslogs", "options": options}})
}

// What tasks write is in the stream PREFIX/CONTAINER/TASK as they write it, each line once,
// also after control has died, and after the beginning of a long output is gone.
func TestOutputOfTasksIsInTheirLogStream(t *testing.T) {
	t.Parallel()
	records := &recordtest.Records{}
	kept, made := newOutputs(), logs.New(records, time.Now)
	with := func(c *ecs.Config) { c.Logs, c.Output, c.Alone = groups{made, kept.lines}, kept.follow, true }
	w := openWith(t, records, nil, with, made.Service())
	w.call("CreateCluster", object{"clusterName": "MyCluster"})
	w.call("RegisterTaskDefinition", logging(nil))
	in := article()
	in["desiredCount"] = 1
	w.refused("ClientException", "The specified log group does not exist: /ecs/shop", "CreateService", in)
	w.Call("logs", "CreateLogGroup", object{"logGroupName": "/ecs/shop"})
	w.call("CreateService", in)
	w.carry()
	instance := w.groups()[0].Instances[0].ID
	taskARN := w.tasks(nil)[0].(string)
	stream := "/ecs/shop web/app/" + taskARN[strings.LastIndexByte(taskARN, '/')+1:] + " "
	next := func(want ...string) {
		t.Helper()
		for _, text := range want {
			if got := <-kept.lines; got != stream+text {
				t.Fatalf("%q, want %q", got, stream+text)
			}
		}
	}
	kept.set(instance, "one\ntwo\nthr", false)
	next("one", "two")
	kept.set(instance, "one\ntwo\nthree\n", false)
	next("three")
	long := strings.Repeat("y", 400)
	w.die() // and a long output has begun anew meanwhile
	kept.set(instance, strings.Repeat("x", 3000)+"\none\ntwo\nthree\nfour\n"+long+"\n", false)
	again := openWith(t, records, w.Fleet, with, made.Service())
	again.carry()
	next("four", long)
	again.die()
	kept.set(instance, long[:300]+"\nlast", true) // shorter than what was written
	last := openWith(t, records, w.Fleet, with, made.Service())
	last.carry()
	next("last")
	events := w.Call("logs", "GetLogEvents", object{"logGroupName": "/ecs/shop", "logStreamName": strings.Fields(stream)[1], "startFromHead": true})["events"].([]any)
	var texts []string
	for _, e := range events {
		texts = append(texts, strings.TrimLeft(e.(object)["message"].(string), "y"))
	}
	if got := fmt.Sprint(texts); got != "[one two three four  last]" {
		t.Errorf("the stream has %s", got)
	}
}

// A log configuration that is not whole, and what cannot be had of it, are refused when the
// definition is registered; other drivers are kept.
func TestLogConfigurationsAreChecked(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	for words, options := range map[string]object{
		"requires options: awslogs-group, awslogs-region": {"awslogs-region": nil},
		"awslogs-multiline-pattern":                       {"awslogs-multiline-pattern": "^INFO"},
	} {
		in := logging(options)
		given := in["containerDefinitions"].([]any)[0].(object)["logConfiguration"].(object)["options"].(object)
		for name, v := range given {
			if v == nil {
				delete(given, name)
			}
		}
		w.refused("ClientException", words, "RegisterTaskDefinition", in)
	}
	w.call("RegisterTaskDefinition", task(object{"logConfiguration": object{"logDriver": "splunk"}}))
}
