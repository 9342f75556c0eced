package history

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"showrunner/execution"
)

// sample is an execution in its stored form.
type sample struct {
	id             string
	execution      row
	plans          []row
	stages, events []row
}

// commitOf is the commit that started the nth execution.
func commitOf(n int) string {
	sum := sha256.Sum256([]byte(strconv.Itoa(n)))
	return hex.EncodeToString(sum[:20])
}

// fill describes many executions.
type fill struct {
	*sample
	n       int
	seed    uint64
	began   time.Time
	request execution.HeadRequest
}

const between = 20 * time.Second // time from one to the next

func newFill(s *sample, n int, seed uint64) *fill {
	f := &fill{sample: s, n: n, seed: seed, began: time.Now().UTC().Truncate(time.Second).Add(-time.Duration(n+10) * between)}
	_ = json.Unmarshal(s.execution.bytes(17), &f.request) // written by the engine, not generated
	return f
}

// made is the nth execution.
type made struct {
	n                                 int
	id, application, pipeline         string
	status, kind, branch, message, by string
	version, environment, commit      string
	created                           time.Time
}

var vocabulary = strings.Fields("mend build checkout cart login search page cache queue worker invoice mail image player stream subtitle profile rating series title trailer season billing coupon retry timeout metric alert canary rollout region zone edge")

// at makes the nth execution; the same seed gives the same one.
func (f *fill) at(n int) made {
	var in [16]byte
	binary.BigEndian.PutUint64(in[:], f.seed)
	binary.BigEndian.PutUint64(in[8:], uint64(n))
	sum := sha256.Sum256(in[:])
	dice := func(i, sides int) int { return int(binary.BigEndian.Uint16(sum[2*i:])) % sides }
	m := made{n: n, created: f.began.Add(time.Duration(n) * between), commit: commitOf(n), by: "person" + strconv.Itoa(dice(0, 40)), pipeline: "release", kind: "push", branch: "main",
		version: fmt.Sprintf("1.%d.%d", n/1000, n%10), environment: "production", status: "Succeeded"}
	m.id = fmt.Sprintf("%010s%x", strconv.FormatInt(m.created.UnixMilli()<<2, 32), sum[28:])
	switch d := dice(1, 100); {
	case n%(f.n/10+1) == 5:
		m.application = "seldom"
	case d < 50:
		m.application = "app" + strconv.Itoa(d/30)
	default:
		m.application = "app" + strconv.Itoa(2+dice(2, 48))
	}
	if dice(3, 10) < 3 {
		m.pipeline, m.kind = "nightly", "schedule"
	}
	if d := dice(4, 100); n == f.n/7 || n == f.n/3 || n == f.n/2 {
		m.status = "Stopped"
	} else if d < 5 {
		m.status = "Terminal"
	} else if d < 7 {
		m.status = "Canceled"
	}
	if dice(5, 10) < 3 {
		m.branch, m.environment = "feature/"+strconv.Itoa(dice(6, 900)), "staging"
	}
	for i := range 5 {
		m.message += vocabulary[dice(7+i, len(vocabulary))] + " "
	}
	return m
}

// stream writes a backup of all executions.
func (f *fill) stream() io.Reader {
	r, w := io.Pipe()
	go func() {
		out := bufio.NewWriterSize(w, 1<<20)
		err := f.write(out)
		if err == nil {
			err = out.Flush()
		}
		w.CloseWithError(err)
	}()
	return r
}

func (f *fill) write(out *bufio.Writer) error {
	rows := 0
	line := func(table string, values ...any) error {
		rows++
		raw, err := json.Marshal(map[string]any{"t": table, "r": values})
		if err == nil {
			_, err = out.Write(append(raw, '\n'))
		}
		return err
	}
	fmt.Fprintln(out, `{"showrunner":"backup","schema":2,"time":"2026-01-01T00:00:00Z"}`)
	for _, p := range f.plans {
		if err := line("plan", p...); err != nil {
			return err
		}
	}
	numbers := map[[2]string]int{}
	for n := range f.n {
		m := f.at(n)
		numbers[[2]string{m.application, m.pipeline}]++
	}
	for k, n := range numbers {
		if err := line("pipeline", k[0], k[1], n, n); err != nil {
			return err
		}
	}
	clear(numbers)
	for _, write := range []func(made, func(string, ...any) error) error{
		func(m made, line func(string, ...any) error) error {
			numbers[[2]string{m.application, m.pipeline}]++
			return f.writeExecution(m, numbers[[2]string{m.application, m.pipeline}], line)
		}, f.writeStages, f.writeEvents, f.writeTriggers,
	} {
		for n := range f.n {
			if err := write(f.at(n), line); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintf(out, `{"end":true,"rows":%d}`+"\n", rows)
	return err
}

func (f *fill) writeExecution(m made, number int, line func(string, ...any) error) error {
	q := f.request
	q.By, q.TriggerID, q.EventID = m.by, m.application+"/"+m.pipeline+"/"+m.kind, m.commit
	q.Parameters = map[string]string{"version": m.version, "environment": m.environment}
	q.Trigger = map[string]any{"kind": m.kind, "branch": m.branch, "commit": m.commit, "message": strings.TrimSpace(m.message), "repository": "team/" + m.application}
	request, err := json.Marshal(q)
	if err != nil {
		return err
	}
	r := append(row{}, f.execution...)
	created := m.created.UnixMilli()
	r[0], r[1], r[2], r[3], r[4], r[5], r[6] = m.n+1, m.id, m.application, m.pipeline, number, number, m.status
	r[12], r[14], r[15], r[16], r[17] = nil, created, created+5, created+9_000, request
	return line("execution", r...)
}

// again is a copy of the sample with the names and times of the nth execution.
func (f *fill) again(m made, data []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(data, []byte(f.id), []byte(m.id)), []byte(commitOf(0)), []byte(m.commit))
}

func (f *fill) writeStages(m made, line func(string, ...any) error) error {
	for _, s := range f.stages {
		if err := line("stage", m.id, s[1], nil, f.again(m, s.bytes(3))); err != nil {
			return err
		}
	}
	return nil
}

func (f *fill) writeEvents(m made, line func(string, ...any) error) error {
	for i, e := range f.events {
		var data any
		if b := e.bytes(8); len(b) > 0 {
			data = base64.StdEncoding.EncodeToString(f.again(m, b))
		}
		if err := line("event", m.n*len(f.events)+i+1, m.created.UnixMilli()+int64(i)*100, e[2], m.application, m.pipeline, m.id, e[6], m.by, data); err != nil {
			return err
		}
	}
	return nil
}

func (f *fill) writeTriggers(m made, line func(string, ...any) error) error {
	return line("trigger_event", m.application+"/"+m.pipeline+"/"+m.kind, m.commit, m.id, m.created.UnixMilli())
}
