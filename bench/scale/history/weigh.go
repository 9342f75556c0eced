package history

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// measuredExecutions is how many executions are measured.
const measuredExecutions = 30

// marker is a value that the parent gets and its children do not.
var marker = strings.Repeat("of-the-parent-alone-", 200)

// pipelines are one of ten stages with outputs, logs and a child, the child, and
// one of three stages to fill a store with.
func pipelines() string {
	step := func(name, needs string) string {
		return fmt.Sprintf("      %s:\n        needs: [%s]\n        run:\n          commands: [\"for i in 1 2 3 4 5 6 7 8 9 10; do echo step %s line $i of what a program prints; done; RESULT=%s-$RANDOM\"]\n          outputs: [RESULT]\n", name, needs, name, name)
	}
	text := "application: keep\npipelines:\n  release:\n    concurrency: parallel\n    parameters: { version: { default: \"\" }, notes: { default: \"\" } }\n    stages:\n"
	text += strings.Replace(step("s0", ""), "        needs: []\n", "", 1)
	for i := 1; i < 8; i++ {
		text += step(fmt.Sprintf("s%d", i), fmt.Sprintf("s%d", i-1))
	}
	text += "      hold: { needs: [s7], wait: { for: 10ms } }\n      child: { needs: [hold], pipeline: { pipeline: smoke, parameters: { version: \"${{ parameters.version }}\" } } }\n"
	text += "  smoke:\n    concurrency: parallel\n    parameters: { version: { default: \"\" } }\n    stages:\n" + strings.Replace(step("a", ""), "        needs: []\n", "", 1) + step("b", "a")
	return text + "  short:\n    concurrency: parallel\n    parameters: { version: { default: \"\" }, environment: { default: \"\" } }\n    stages:\n" +
		strings.Replace(step("source", ""), "        needs: []\n", "", 1) + step("build", "source") + step("deploy", "build")
}

// weigh runs executions on a real control plane, measures the stored size of one
// with ten stages, and returns one with three as a sample.
func (o options) weigh(ctx context.Context, kind string) (*sample, *plane, error) {
	p, err := o.place(ctx, kind, "weigh-"+kind)
	if err != nil {
		return nil, nil, err
	}
	defer o.remove(ctx, p)
	c, err := o.start(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	if err := c.apply(ctx, pipelines()); err != nil {
		return nil, nil, err
	}
	trigger := map[string]any{"commit": commitOf(0), "branch": "main", "message": "Mend the checkout of empty carts"}
	if _, err := c.run(ctx, "short", map[string]string{"version": "1.0.0", "environment": "production"}, trigger); err != nil {
		return nil, nil, err
	}
	if err := c.ends(ctx, "short", 1); err != nil {
		return nil, nil, err
	}
	if err := c.stop(); err != nil { // this writes everything into the database file itself
		return nil, nil, err
	}
	before := p.size()
	fresh := c
	if c, err = o.start(ctx, p); err != nil {
		return nil, nil, err
	}
	for range measuredExecutions {
		for try := 0; ; try++ { // a busy machine may answer that the request has to be repeated
			if _, err := c.run(ctx, "release", map[string]string{"version": "1.0.0", "notes": marker}, trigger); err == nil {
				break
			} else if try == 10 {
				return nil, nil, err
			}
			pause(2 * time.Second)
		}
	}
	if err := c.ends(ctx, "release", measuredExecutions); err != nil {
		return nil, nil, err
	}
	rows, err := c.rows(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := c.stop(); err != nil {
		return nil, nil, err
	}
	logs := filesLike(filepath.Join(p.data, "logs") + "/")
	parent, child := rows.of("release"), rows.of("smoke")
	each := float64(p.size()-before) / measuredExecutions / 1024
	fmt.Printf("%s: an execution of 10 stages with its outputs, a parameter of %d bytes and a child keeps %.1f KB of rows and events (its child %.1f KB); with both and every index the database grew by %.1f KB each; their logs are %.1f KB\n",
		kind, len(marker), float64(parent.bytes)/1024, float64(child.bytes)/1024, each, float64(logs)/measuredExecutions/1024)
	o.must(parent.bytes < 64<<10 && each < 64, "%s: an execution of 10 stages keeps %.1f KB", kind, max(float64(parent.bytes)/1024, each))
	o.must(!strings.Contains(child.text, marker), "%s: a child holds what its parent was given", kind)
	return rows.sample("short"), fresh, nil
}

// ends waits until that many executions have succeeded; a busy machine may answer
// that the request has to be repeated.
func (c *plane) ends(ctx context.Context, pipeline string, n int) (err error) {
	for range 6000 {
		var page listed
		page, err = c.list(ctx, "limit=500&application=keep&status=Succeeded&pipeline="+pipeline)
		if err == nil && len(page.Executions) >= n || ctx.Err() != nil {
			return err
		}
		pause(20 * time.Millisecond)
	}
	return errors.Join(fmt.Errorf("the executions of %s do not end", pipeline), err)
}

// row is a row of a backup.
type row []any

func (r row) text(i int) string { s, _ := r[i].(string); return s }

func (r row) bytes(i int) []byte {
	b, _ := base64.StdEncoding.DecodeString(r.text(i)) // empty when there is none
	return b
}

// tables are a backup's rows.
type tables map[string][]row

func (c *plane) rows(ctx context.Context) (tables, error) {
	body, err := c.open(ctx, "GET", "/api/v1/backup", nil)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	out := tables{}
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var line struct {
			T   string `json:"t"`
			R   row    `json:"r"`
			End bool   `json:"end"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, err
		}
		if line.End {
			return out, lines.Err()
		}
		out[line.T] = append(out[line.T], line.R)
	}
	return nil, fmt.Errorf("the backup is cut short: %v", lines.Err())
}

// weight is the size of one execution's rows.
type weight struct {
	bytes int
	text  string
}

// of measures the last execution of a pipeline.
func (t tables) of(pipeline string) (w weight) {
	s := t.sample(pipeline)
	var text strings.Builder
	for _, r := range append(append([]row{s.execution}, s.stages...), s.events...) {
		for i := range r {
			if b := r.bytes(i); len(b) > 0 && len(r.text(i))%4 == 0 && len(b) > 20 {
				text.Write(b)
			} else {
				fmt.Fprint(&text, r[i])
			}
		}
	}
	return weight{text.Len(), text.String()}
}

// sample is the last execution of a pipeline.
func (t tables) sample(pipeline string) *sample {
	s := &sample{plans: t["plan"]}
	for _, r := range t["execution"] {
		if r.text(3) == pipeline {
			s.execution, s.id = r, r.text(1)
		}
	}
	for _, r := range t["stage"] {
		if r.text(0) == s.id {
			s.stages = append(s.stages, r)
		}
	}
	for _, r := range t["event"] {
		if r.text(5) == s.id {
			s.events = append(s.events, r)
		}
	}
	return s
}
