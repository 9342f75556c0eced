package wire

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// botocore runs the codec of AWS's own clients.
func botocore(t *testing.T, mode string, stdin io.Reader) *bufio.Scanner {
	t.Helper()
	if exec.Command("python3", "-c", "import botocore").Run() != nil {
		t.Skip("python3 with botocore is not installed (make tools installs it)")
	}
	c := exec.CommandContext(t.Context(), "python3", "testdata/codec.py", mode)
	c.Stdin, c.Stderr = stdin, os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(bytes.NewReader(out))
	s.Buffer(nil, 16<<20)
	return s
}

// plain is a value as codec.py prints it.
func plain(v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range x {
			out[k] = plain(e)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = plain(e)
		}
		return out
	case []byte:
		return map[string]any{"$blob": base64.StdEncoding.EncodeToString(x)}
	case time.Time:
		return map[string]any{"$time": float64(x.UnixMicro()) / 1e6}
	case int64:
		return float64(x)
	}
	return v
}

// TestRequestsAreReadAsBotocoreWritesThem: every operation with every member set,
// in every protocol that clients use for it.
func TestRequestsAreReadAsBotocoreWritesThem(t *testing.T) {
	t.Parallel()
	lines := botocore(t, "requests", nil)
	seen := map[string]int{}
	for lines.Scan() {
		var c struct {
			Service, Operation, Protocol, Signing, Method, Path, Body, Skip string
			Headers                                                         map[string]string
			Params                                                          map[string]any
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		name := c.Service + "." + c.Operation + " in " + c.Protocol
		if c.Skip != "" {
			t.Errorf("%s: botocore: %s", name, c.Skip)
			continue
		}
		body, err := base64.StdEncoding.DecodeString(c.Body)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(c.Method, c.Path, bytes.NewReader(body))
		for k, v := range c.Headers {
			r.Header.Set(k, v)
		}
		q, err := Choose(r, c.Signing, body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if q.Operation != c.Operation || q.Service != c.Service {
			t.Errorf("%s was taken for %s.%s", name, q.Service, q.Operation)
			continue
		}
		if err := q.Read(r, body); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := plain(q.Input); !reflect.DeepEqual(got, any(c.Params)) {
			t.Errorf("%s:\n got %v\nwant %v", name, got, c.Params)
		}
		seen[c.Protocol]++
	}
	t.Logf("operations read, by protocol: %v", seen)
	if len(seen) < 4 {
		t.Errorf("only %v were compared", seen)
	}
}

// sample makes a value of a shape with every member of the body.
func sample(m *Model, s *Shape, depth, seed int) any {
	switch s.Type {
	case "structure":
		out := map[string]any{}
		for i, name := range s.order {
			ref := s.Members[name]
			kind := m.of(ref).Type
			if m.of(ref).EventStream || depth >= 5 && (kind == "structure" || kind == "list" || kind == "map") {
				continue
			}
			out[name] = sample(m, m.of(ref), depth+1, seed+i)
		}
		return out
	case "list":
		return []any{sample(m, m.of(s.Member), depth+1, seed), sample(m, m.of(s.Member), depth+1, seed+1)}
	case "map":
		return map[string]any{fmt.Sprint("k", seed): sample(m, m.of(s.Value), depth+1, seed)}
	case "integer", "long":
		return int64(seed + 200)
	case "float", "double":
		return float64(seed) + 0.25
	case "boolean":
		return seed%2 == 0
	case "blob":
		return fmt.Appendf(nil, "bytes %d", seed)
	case "timestamp":
		return time.Date(2026, 11, 30, 10, 17, seed%60, 0, time.UTC)
	}
	return fmt.Sprintf("v%d é <&>", seed)
}

// TestBotocoreReadsOurAnswers: every operation's answer with every member set.
func TestBotocoreReadsOurAnswers(t *testing.T) {
	t.Parallel()
	type answer struct {
		Service   string            `json:"service"`
		Operation string            `json:"operation"`
		Protocol  string            `json:"protocol"`
		Status    int               `json:"status"`
		Headers   map[string]string `json:"headers"`
		Body      string            `json:"body"`
	}
	var sent []answer
	var want []any
	var in bytes.Buffer
	for _, service := range Services() {
		m, err := Load(service)
		if err != nil {
			t.Fatal(err)
		}
		protocols := []Protocol{Protocol(m.Metadata.Protocol)}
		if m.Metadata.QueryCompared {
			protocols = append(protocols, JSON, CBOR)
		}
		for _, o := range m.Operations {
			for _, p := range protocols {
				if o.Output != nil && eventStream(m, m.of(o.Output)) {
					continue // no operation that is served answers with one
				}
				q := &Request{Protocol: p, Service: service, Operation: o.Name, model: m, operation: o, shown: "1.1"}
				var v any = map[string]any{}
				if o.Output != nil {
					v = sample(m, m.of(o.Output), 0, 1)
				}
				w := httptest.NewRecorder()
				if err := q.Answer(w, "id", v); err != nil {
					t.Errorf("%s.%s: %v", service, o.Name, err)
					continue
				}
				a := answer{Service: service, Operation: o.Name, Protocol: clientName(p), Status: w.Code, Headers: map[string]string{}, Body: base64.StdEncoding.EncodeToString(w.Body.Bytes())}
				for k := range w.Header() {
					a.Headers[k] = w.Header().Get(k)
				}
				line, err := json.Marshal(a)
				if err != nil {
					t.Fatal(err)
				}
				in.Write(append(line, '\n'))
				sent, want = append(sent, a), append(want, plain(v))
			}
		}
	}
	lines := botocore(t, "answers", &in)
	n := 0
	for ; lines.Scan(); n++ {
		var got map[string]any
		if err := json.Unmarshal(lines.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		expected := want[n]
		if got == nil || payloadOnly(sent[n].Service, sent[n].Operation) {
			continue
		}
		if !reflect.DeepEqual(any(got), expected) {
			t.Errorf("%s.%s in %s:\n got %v\nwant %v", sent[n].Service, sent[n].Operation, sent[n].Protocol, got, expected)
		}
	}
	if n != len(sent) || n < 300 {
		t.Errorf("%d of %d answers were compared", n, len(sent))
	}
	t.Logf("%d answers compared", n)
}

// clientName is what botocore calls a protocol.
func clientName(p Protocol) string {
	if p == CBOR {
		return "smithy-rpc-v2-cbor"
	}
	return string(p)
}

func eventStream(m *Model, s *Shape) bool {
	return slices.ContainsFunc(s.order, func(name string) bool { return m.of(s.Members[name]).EventStream })
}

// payloadOnly says whether an answer's status is one of its members, which this
// comparison sets to something that is no status.
func payloadOnly(service, operation string) bool {
	return service == "lambda" && (operation == "Invoke" || operation == "InvokeAsync")
}

// TestErrorsAreUnderstood: each protocol's form, as its clients read it.
func TestErrorsAreUnderstood(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		protocol Protocol
		service  string
		want     []string
	}{
		{Query, "sts", []string{"<ErrorResponse", "<Type>Sender</Type>", "<Code>Some.Code</Code>", "a &lt; b"}},
		{EC2, "ec2", []string{"<Response><Errors><Error><Code>Some.Code</Code>", "<RequestID>id</RequestID>"}},
		{JSON, "ecs", []string{`"__type":"Some.Code"`}},
		{REST, "lambda", []string{`"__type":"Some.Code"`}},
		{S3, "", []string{"<Error><Code>Some.Code</Code>"}},
	} {
		q := &Request{Protocol: c.protocol}
		if c.service != "" {
			q.model, _ = Load(c.service)
		}
		w := httptest.NewRecorder()
		q.Fail(w, "id", Errorf("Some.Code", "a < b"), slog.New(slog.DiscardHandler))
		if w.Code != http.StatusBadRequest {
			t.Errorf("%s: status %d", c.protocol, w.Code)
		}
		for _, text := range c.want {
			if !strings.Contains(w.Body.String(), text) {
				t.Errorf("%s: %s is not in %s", c.protocol, text, w.Body)
			}
		}
	}
}

// TestModelsAreWhole: every shape that is named is there.
func TestModelsAreWhole(t *testing.T) {
	t.Parallel()
	for _, service := range Services() {
		m, err := Load(service)
		if err != nil {
			t.Fatal(err)
		}
		look := func(r *Ref) {
			if r != nil && m.Shapes[r.Shape] == nil {
				t.Errorf("%s has no shape %s", service, r.Shape)
			}
		}
		for _, o := range m.Operations {
			look(o.Input)
			look(o.Output)
		}
		for _, s := range m.Shapes {
			for _, r := range s.Members {
				look(r)
			}
			look(s.Member)
			look(s.Key)
			look(s.Value)
		}
	}
}

// FuzzRead: no body ends the process or is taken without a value.
func FuzzRead(f *testing.F) {
	f.Add("json", "ecs", "CreateCluster", []byte(`{"clusterName":"x","tags":[{"key":"a"}]}`))
	f.Add("query", "autoscaling", "CreateAutoScalingGroup", []byte("Action=CreateAutoScalingGroup&Tags.member.1.Key=a&MinSize=1"))
	f.Add("ec2", "ec2", "DescribeInstances", []byte("Action=DescribeInstances&Filter.1.Name=a&Filter.1.Value.1=b"))
	f.Add("rpc-v2-cbor", "monitoring", "PutMetricData", []byte("\xa1\x69Namespace\x61x"))
	f.Fuzz(func(t *testing.T, protocol, service, operation string, body []byte) {
		m, err := Load(service)
		if err != nil || m.Operations[operation] == nil {
			return
		}
		q := &Request{Protocol: Protocol(protocol), Service: service, Operation: operation, model: m, operation: m.Operations[operation]}
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		if q.Protocol == Query || q.Protocol == EC2 {
			chosen, err := Choose(formRequest(r), m.SigningName(), body)
			if err != nil {
				return
			}
			q = chosen
		}
		if err := q.Read(r, body); err == nil {
			if q.Input == nil {
				t.Error("no error and no input")
			}
			q.Violations()
		}
	})
}

func formRequest(r *http.Request) *http.Request {
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// TestNumbersKeepTheirKind: whole numbers stay whole, and what does not fit is refused.
func TestNumbersKeepTheirKind(t *testing.T) {
	t.Parallel()
	m, err := Load("ecs")
	if err != nil {
		t.Fatal(err)
	}
	shape := m.of(m.Operations["CreateService"].Input)
	if v, err := m.readJSON(shape, []byte(`{"desiredCount": 5.0}`)); err != nil || v["desiredCount"] != int64(5) {
		t.Errorf("5.0: %v, %v", v, err)
	}
	for _, body := range []string{`{"desiredCount": 1.5}`, `{"desiredCount": 99999999999}`, `{"desiredCount": "x"}`, `[1]`, `{} {}`, `{"desiredCount": tru`} {
		if v, err := m.readJSON(shape, []byte(body)); err == nil {
			t.Errorf("%s was read as %v", body, v)
		}
	}
	if text, _ := formatted(&Shape{Type: "double"}, nil, math.Inf(1)); text != "Infinity" {
		t.Errorf("infinity is %s", text)
	}
}
