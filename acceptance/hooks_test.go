package acceptance

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	hookSecret   = "It's a secret to everybody"
	hookPipeline = "application: shop\npipelines:\n  release:\n    triggers: [{push: {branches: [main]}}, {webhook: {name: go}}]\n    stages: {s: {wait: {for: 1ms}}}\n"
	commit1      = "1111111111111111111111111111111111111111"
	commit2      = "2222222222222222222222222222222222222222"
)

func pushBody(ref, after string) string {
	return fmt.Sprintf(`{"ref":%q,"before":"0000000000000000000000000000000000000000","after":%q,"repository":{"full_name":"acme/shop","clone_url":"https://example.org/acme/shop.git"},"commits":[],"head_commit":{"id":%q,"message":"m"},"pusher":{"name":"p"}}`, ref, after, after)
}

func sign(body string) string {
	m := hmac.New(sha256.New, []byte(hookSecret))
	m.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(m.Sum(nil))
}

// request is one delivery as raw bytes, so that any part of it can be wrong.
type request struct {
	line    string // default "POST /hooks/github/shop HTTP/1.1"
	headers string // besides Host, Content-Type, X-GitHub-Event and the delivery's id
	body    string
	length  string // Content-Length; default the length of body, "-" for none
	unsent  bool   // the sender hangs up, or stays silent, before the end
}

func (r request) bytes(host, id string) string {
	if r.line == "" {
		r.line = "POST /hooks/github/shop HTTP/1.1"
	}
	if r.length == "" {
		r.length = strconv.Itoa(len(r.body))
	}
	var b strings.Builder
	b.WriteString(r.line + "\r\n")
	has := func(name string) bool { return strings.Contains("\n"+strings.ToLower(r.headers), "\n"+name+":") }
	for _, h := range [][2]string{{"Host", host}, {"Content-Type", "application/json"}, {"X-GitHub-Event", "push"}, {"X-GitHub-Delivery", id}, {"Connection", "close"}} {
		if !has(strings.ToLower(h[0])) {
			b.WriteString(h[0] + ": " + h[1] + "\r\n")
		}
	}
	b.WriteString(r.headers)
	if r.length != "-" {
		b.WriteString("Content-Length: " + r.length + "\r\n")
	}
	return b.String() + "\r\n" + r.body
}

// hostileHooks are deliveries that must start nothing, with the expected
// statuses; 0 stands for a connection that is closed without an answer.
func hostileHooks() map[string]struct {
	request
	statuses []int
} {
	type entry = struct {
		request
		statuses []int
	}
	good := pushBody("refs/heads/main", commit2)
	signed := func(body string) request {
		return request{headers: "X-Hub-Signature-256: " + sign(body) + "\r\n", body: body}
	}
	header := func(h string) request { return request{headers: h + "\r\n", body: good} }
	old := hmac.New(sha1.New, []byte(hookSecret))
	old.Write([]byte(good))
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	z.Write(bytes.Repeat([]byte(" "), 512<<20))
	z.Close()
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 1<<16, strings.Repeat(" ", 1<<16))
	twice := signed(good)
	twice.headers += "X-Hub-Signature-256: sha256=00\r\n"
	gone := strings.Replace(good, `"after":"`+commit2, `"deleted":true,"after":"0000000000000000000000000000000000000000`, 1)
	on := func(line string) request { r := signed(good); r.line = line; return r }
	with := func(h string) request { r := signed(good); r.headers += h + "\r\n"; return r }
	length := func(n string) request { r := signed(good); r.length, r.unsent = n, true; return r }
	return map[string]entry{
		"unsigned":                      {request{body: good}, []int{401}},
		"signed with another secret":    {header("X-Hub-Signature-256: sha256=" + strings.Repeat("ab", 32)), []int{401}},
		"signed by SHA-1 alone":         {header("X-Hub-Signature: sha1=" + hex.EncodeToString(old.Sum(nil))), []int{401}},
		"half of the signature":         {header("X-Hub-Signature-256: " + sign(good)[:39]), []int{401}},
		"two signatures":                {twice, []int{401}},
		"signed, then changed":          {request{headers: "X-Hub-Signature-256: " + sign(good) + "\r\n", body: strings.Replace(good, commit2, commit1, 1)}, []int{401}},
		"a byte after what is signed":   {request{headers: "X-Hub-Signature-256: " + sign(good) + "\r\n", body: good + "\n"}, []int{401}},
		"the secret as its signature":   {header("X-Hub-Signature-256: " + hookSecret), []int{401}},
		"another forge's token":         {request{line: "POST /hooks/gitlab/shop HTTP/1.1", headers: "X-Gitlab-Event: Push Hook\r\nX-Gitlab-Token: guess\r\n", body: good}, []int{401}},
		"an unsigned generic hook":      {request{line: "POST /hooks/generic/shop/release/go HTTP/1.1", body: `{}`}, []int{401}},
		"an old Standard Webhook":       {request{line: "POST /hooks/generic/shop/release/go HTTP/1.1", headers: "webhook-id: msg_1\r\nwebhook-timestamp: 1\r\nwebhook-signature: v1,AAAA\r\n", body: `{}`}, []int{401}},
		"a generic hook that is none":   {on("POST /hooks/generic/shop/release/nope HTTP/1.1"), []int{404}},
		"an application that is none":   {on("POST /hooks/github/nope HTTP/1.1"), []int{404}},
		"a forge that is none":          {on("POST /hooks/bitbucket HTTP/1.1"), []int{404}},
		"a path that climbs":            {on("POST /hooks/github/../../api/v1/applications HTTP/1.1"), []int{301, 307, 308, 400, 401, 404, 405}},
		"a path that climbs encoded":    {on("POST /hooks/github/%2e%2e%2f%2e%2e%2fetc HTTP/1.1"), []int{301, 307, 308, 400, 404}},
		"GET":                           {on("GET /hooks/github/shop HTTP/1.1"), []int{405}},
		"TRACE":                         {on("TRACE /hooks/github/shop HTTP/1.1"), []int{405}},
		"XML":                           {with("Content-Type: application/xml"), []int{415}},
		"a form with two payloads":      {request{headers: "Content-Type: application/x-www-form-urlencoded\r\nX-Hub-Signature-256: " + sign("payload={}&payload={}") + "\r\n", body: "payload={}&payload={}"}, []int{400}},
		"another site's name":           {with("Host: evil.example"), []int{421}},
		"nested 100,000 deep":           {signed(deep), []int{400}},
		"the wrong types":               {signed(`{"ref":[1],"after":{}}`), []int{400}},
		"no JSON":                       {signed("after=1"), []int{400}},
		"two values":                    {signed(good + good), []int{400}},
		"an option as branch":           {signed(pushBody("--upload-pack=touch", commit2)), []int{400}},
		"a branch with a line feed":     {signed(strings.Replace(good, "refs/heads/main", `refs/heads/main\nX`, 1)), []int{400}},
		"a command as commit":           {signed(pushBody("refs/heads/main", "$(reboot)")), []int{400}},
		"a gigabyte announced":          {length("1073741824"), []int{413}},
		"6 MB":                          {signed(strings.Repeat(" ", 6<<20)), []int{413}},
		"chunks without an end":         {request{headers: "Transfer-Encoding: chunked\r\nX-Hub-Signature-256: " + sign(good) + "\r\n", length: "-", body: strings.Repeat(chunk, 120), unsent: true}, []int{413}},
		"a chunk of a negative size":    {request{headers: "Transfer-Encoding: chunked\r\nX-Hub-Signature-256: " + sign(good) + "\r\n", length: "-", body: "-1\r\n" + good}, []int{400}},
		"half a gigabyte in a zip bomb": {request{headers: "Content-Encoding: gzip\r\nX-Hub-Signature-256: " + sign(bomb.String()) + "\r\n", body: bomb.String()}, []int{400, 415}},
		"length and chunks":             {request{headers: "Transfer-Encoding: chunked\r\nX-Hub-Signature-256: " + sign(good) + "\r\n", body: good, unsent: true}, []int{400, 0}},
		"two lengths":                   {with("Content-Length: 3"), []int{400}},
		"a length below zero":           {length("-5"), []int{400}},
		"a folded header":               {header("X-Hub-Signature-256:\r\n " + sign(good)[7:]), []int{400, 401}},
		"a space in a header's name":    {header("X-Hub-Signature-256 : " + sign(good)), []int{400}},
		"two megabytes of headers":      {with("X-Fill: " + strings.Repeat("x", 2<<20)), []int{431, 400, 0}},
		"cut off":                       {request{headers: "X-Hub-Signature-256: " + sign(good) + "\r\n", body: good[:40], length: strconv.Itoa(len(good)), unsent: true}, []int{400, 0}},
		"no HTTP":                       {request{line: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"}, []int{400, 0}},
		// Understood, but without a matching trigger.
		"another branch":   {signed(pushBody("refs/heads/other", commit2)), []int{200}},
		"a deleted branch": {signed(gone), []int{200}},
		"a ping":           {request{headers: "X-GitHub-Event: ping\r\nX-Hub-Signature-256: " + sign(`{"zen":"x"}`) + "\r\n", body: `{"zen":"x"}`}, []int{200}},
		"another event":    {with("X-GitHub-Event: issues"), []int{200}},
	}
}

// TestHostileWebhooksStartNothing delivers forged, malformed and oversized
// requests over raw sockets to the real control plane. Each is answered with the
// status that names what is wrong, and recorded with its reason if it reached the
// hook. Nothing starts, the control plane's memory does not grow, and an honest
// sender is served while a slow one holds its connection.
func TestHostileWebhooksStartNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-west-2")
	file := t.TempDir() + "/showrunner.yaml"
	if err := os.WriteFile(file, []byte(hookPipeline), 0o600); err != nil {
		t.Fatal(err)
	}
	w.must("apply", "-f", file)
	if _, errs, code := w.cliIn(hookSecret, "secret", "set", "webhook"); code != 0 {
		t.Fatal(errs)
	}
	control := w.pid("control")
	memory := residentBytes(t, control)
	started := func() int {
		var page struct{ Executions []struct{ ID string } }
		w.json(&page, "executions", "list")
		return len(page.Executions)
	}

	slow, err := net.Dial("tcp", w.listen)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	r := request{headers: "X-Hub-Signature-256: " + sign("x") + "\r\n", body: "{", length: "1000"}
	fmt.Fprint(slow, r.bytes(w.listen, "slow"))

	refused, n := 0, 0
	for name, c := range hostileHooks() {
		n++
		status, answer := deliver(t, w.listen, c.bytes(w.listen, "hostile-"+strconv.Itoa(n)), c.unsent)
		ok := false
		for _, s := range c.statuses {
			ok = ok || s == status
		}
		if !ok {
			t.Errorf("%s: answered %d, want one of %v: %.300s", name, status, c.statuses, answer)
			continue
		}
		if status != 0 && strings.Contains(answer, hookSecret) {
			t.Errorf("%s: the answer tells the secret", name)
		}
		refused++
		t.Logf("%-31s %3d  %.140s", name, status, strings.ReplaceAll(answer, "\n", " "))
	}
	if got := started(); got != 0 {
		t.Errorf("%d executions started", got)
	}
	var list []struct{ DeliveryID, Verdict, Reason string }
	w.json(&list, "deliveries", "--limit", "200")
	reasons := 0
	for _, d := range list {
		if d.Verdict == "started" || d.Reason == "" {
			t.Errorf("written down as %+v", d)
		}
		reasons++
	}
	if reasons < 30 {
		t.Errorf("only %d deliveries are written down", reasons)
	}
	if grown := residentBytes(t, control) - memory; grown > 200<<20 {
		t.Errorf("the control plane grew by %d MB", grown>>20)
	} else {
		t.Logf("%d of %d deliveries started nothing, %d are written down with a reason; the control plane grew by %d MB", refused, n, reasons, grown>>20)
	}

	// The honest sender's push starts once, however often it is delivered again,
	// under the same name or another.
	body := pushBody("refs/heads/main", commit1)
	for i, want := range []int{202, 200, 200} {
		r := request{headers: "X-Hub-Signature-256: " + sign(body) + "\r\n", body: body}
		if status, answer := deliver(t, w.listen, r.bytes(w.listen, []string{"a", "a", "b"}[i]), false); status != want {
			t.Errorf("delivery %d: %d, want %d: %s", i, status, want, answer)
		}
	}
	if got := started(); got != 1 {
		t.Errorf("%d executions started, want 1", got)
	}
}

// deliver sends bytes and returns the status of the answer; 0 when there is none.
func deliver(t *testing.T, address, raw string, hangUp bool) (int, string) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(60 * time.Second))
	go func() {
		io.WriteString(conn, raw) // the other side may refuse to read all of it
		if hangUp {
			conn.(*net.TCPConn).CloseWrite()
		}
	}()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, string(body)
}

// residentBytes is the resident memory of a process.
func residentBytes(t *testing.T, pid int) int64 {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Skip(err)
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(raw), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * int64(os.Getpagesize())
}
