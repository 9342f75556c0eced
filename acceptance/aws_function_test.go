package acceptance

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// open answers a request to the address of a function, whose name every system resolves.
func (w *world) open(url string) (int, string) {
	w.t.Helper()
	rest := strings.TrimPrefix(url, "http://")
	host, path, _ := strings.Cut(rest, "/")
	r, err := http.NewRequest(http.MethodGet, "http://127.0.0.1"+host[strings.LastIndexByte(host, ':'):]+"/"+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Host = host
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body) // what is missing shows in the comparison
	return res.StatusCode, string(body)
}

// logged are the messages of a function's log that contain a text.
func (w *world) logged(function, text string) []string {
	w.t.Helper()
	out := w.aws("logs", "filter-log-events", "--log-group-name", "/aws/lambda/"+function, "--query", "events[].message", "--output", "text")
	var found []string
	for _, part := range strings.FieldsFunc(out, func(r rune) bool { return r == '\t' || r == '\n' }) {
		if strings.Contains(part, text) {
			found = append(found, strings.TrimSpace(part))
		}
	}
	return found
}

// A function that a stream feeds, and a resource that a function makes, deployed, changed,
// rolled back and destroyed by an unmodified CDK.
func TestTheCDKMakesAFunctionFedByAStream(t *testing.T) {
	t.Parallel()
	dir := cdkApp(t, filepath.Join("testdata", "cdk"))
	w := newAWSWorld(t, "us-east-1")
	w.cdkSays("bootstrapped", dir, nil, "bootstrap", "aws://000000000000/us-east-1")
	app := func(args ...string) []string { return append(args, "--app", "node function.js") }
	deploy := app("deploy", "--require-approval", "never")
	out := w.cdkSays("Fed.Loud = HELLO", dir, nil, deploy...)
	_, rest, _ := strings.Cut(out, "Fed.Address = ")
	address, _, _ := strings.Cut(rest, "\n")
	address = strings.TrimSpace(address)
	if status, body := w.open(address + "there"); status != 200 || body != "hello /there" {
		t.Errorf("the address %s answers %d %s", address, status, body)
	}
	if status, body := w.get("fed-site", "/"); status != 200 || body != "<p>hello" {
		t.Errorf("the site answers %d %s", status, body)
	}
	if _, body := w.get("fed-site", "/table.json"); !strings.Contains(body, `"orders"`) {
		t.Errorf("what the stack knows when it is deployed is not in the file: %s", body)
	}
	if got := w.aws("cloudwatch", "describe-alarms", "--query", "MetricAlarms[].AlarmName", "--output", "text"); got != "worker-errors" {
		t.Errorf("the alarms are %s", got)
	}
	for n := range 6 {
		w.aws("kinesis", "put-record", "--stream-name", "orders", "--partition-key", fmt.Sprint("k", n%3), "--data", fmt.Sprintf("order%03d", n)) // text for version 1 of the command, base64 for version 2
	}
	w.eventually(time.Minute, "every record is in the log", func() error {
		if got := w.logged("worker", "RECORD "); len(got) != 6 {
			return fmt.Errorf("%d lines: %q", len(got), got)
		}
		return nil
	})
	w.cdkSays("Fed.Loud = BYE", dir, []string{"GREETING=bye"}, deploy...)
	if status, body := w.open(address); status != 200 || body != "bye /" {
		t.Errorf("after the change the address answers %d %s", status, body)
	}
	if status, body := w.get("fed-site", "/"); status != 200 || body != "<p>bye" {
		t.Errorf("after the change the site answers %d %s", status, body)
	}
	_, rest, _ = strings.Cut(out, "Fed.MakerName = ")
	maker, _, _ := strings.Cut(rest, "\n")
	if got := strings.Join(w.logged(strings.TrimSpace(maker), " hello"), ", ") + strings.Join(w.logged(strings.TrimSpace(maker), " bye"), ", "); !strings.Contains(got, "Create hello") || !strings.Contains(got, "Update bye") || !strings.Contains(got, "Delete hello") {
		t.Errorf("the maker was asked: %s", got)
	}
	if out, err := w.cdk(dir, []string{"GREETING=bad"}, deploy...); err == nil || !strings.Contains(out, "Received response status [FAILED] from custom resource") {
		t.Errorf("a resource that fails: %v\n%s", err, out)
	}
	if status, body := w.open(address); status != 200 || body != "bye /" {
		t.Errorf("after the rollback the address answers %d %s", status, body)
	}
	w.cdkSays("Fed: destroyed", dir, nil, app("destroy", "--force")...)
	if got := w.aws("lambda", "list-functions", "--query", "length(Functions)"); got != "0" {
		t.Errorf("%s functions are left", got)
	}
	if got := w.aws("s3api", "list-buckets", "--query", "length(Buckets[?Name=='fed-site'])"); got != "0" {
		t.Error("the site's bucket is left")
	}
	if got := w.aws("lambda", "list-event-source-mappings", "--query", "length(EventSourceMappings)"); got != "0" {
		t.Errorf("%s mappings are left", got)
	}
}
