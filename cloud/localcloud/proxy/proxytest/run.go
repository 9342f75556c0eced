package proxytest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Host is what requests have to ask for.
const Host = "shop.localhost"

// Open starts a front before one instance and returns where it listens. The host
// is Host; the front ends with the test.
type Open func(t *testing.T, instance string) (address string)

// Run runs all tests.
func Run(t *testing.T, open Open) {
	t.Run("Identity", func(t *testing.T) { identity(t, open) })
	t.Run("IdentityWithExtraAnswers", func(t *testing.T) { identity(t, open, "more") })
	t.Run("LateAnswers", func(t *testing.T) { lateAnswers(t, open) })
	t.Run("Desync", func(t *testing.T) { desync(t, open) })
	t.Run("HTTP2", func(t *testing.T) { desyncHTTP2(t, open) })
	t.Run("EarlyAnswers", func(t *testing.T) { earlyAnswers(t, open) })
	t.Run("Underscores", func(t *testing.T) { underscores(t, open) })
	t.Run("Endings", func(t *testing.T) { endings(t, open) })
	t.Run("Upgrade", func(t *testing.T) { upgrade(t, open) })
}

func connect(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second)) // so that no failure hangs
	return c.(*net.TCPConn)
}

// identity has clients that behave and clients that do not ask at once, for
// whatever instances can do and what further modes say: each answer is the asker's own.
func identity(t *testing.T, open Open, further ...string) {
	instance := NewInstance(t)
	address := open(t, instance.Address)
	modes := append([]string{"", "", "early", "earlyclose", "silent", "reset", "half", "short", "close", "eof", "chunks", "hints", "busy", "lies", "large"}, further...)
	var wg sync.WaitGroup
	for n := range 12 {
		seed := rand.Uint64()
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, 1))
			for i := range 120 {
				id := fmt.Sprintf("c%d-%d", n, i)
				if err := exchange(address, id, modes[random.IntN(len(modes))], random); err != nil {
					t.Errorf("seed %d: %s: %v", seed, id, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// exchange sends one request or some, perhaps badly, and looks at every answer.
// Errors are of answers that are somebody else's.
func exchange(address, id, mode string, random *rand.Rand) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	var out bytes.Buffer
	n := 1 + random.IntN(3)
	for i := range n {
		request(&out, id, mode, random.IntN(4), i == n-1)
	}
	text := out.Bytes()
	switch random.IntN(6) {
	case 0: // it leaves in the middle
		_, _ = c.Write(text[:random.IntN(len(text))])
		return nil
	case 1: // it ends its side
		_, _ = c.Write(text)
		c.(*net.TCPConn).CloseWrite()
	case 2: // in pieces
		go func() {
			for piece := range slices.Chunk(text, 1+len(text)/7) {
				if _, err := c.Write(piece); err != nil {
					return
				}
			}
		}()
	case 3: // it leaves without its answer
		_, _ = c.Write(text)
		return nil
	default:
		_, _ = c.Write(text)
	}
	answer, _ := io.ReadAll(c) // a reset ends it as well
	return own(answer, id)
}

// request writes a request of one of four kinds.
func request(out *bytes.Buffer, id, mode string, kind int, last bool) {
	method, framing, body := "GET", "", ""
	switch kind {
	case 1:
		method, body = "POST", strings.Repeat(id, 10)
		framing = fmt.Sprintf("Content-Length: %d\r\n", len(body))
	case 2:
		method, framing = "PUT", "Transfer-Encoding: chunked\r\n"
		data := strings.Repeat(id, 3000)
		body = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(data), data)
	case 3:
		method, body = "POST", strings.Repeat("GET /evil HTTP/1.1\r\nHost: "+Host+"\r\nX-Id: evil\r\n\r\n", 2000)
		framing = fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	if last {
		framing += "Connection: close\r\n"
	}
	fmt.Fprintf(out, "%s /?mode=%s HTTP/1.1\r\nHost: %s\r\nX-Id: %s\r\n%s\r\n%s", method, mode, Host, id, framing, body)
}

// own says whether everything in the answers is the asker's.
func own(answer []byte, id string) error {
	for line := range bytes.SplitSeq(answer, []byte("\r\n")) {
		name, value, _ := strings.Cut(string(line), ": ")
		if (name == "X-Echo-Id" || name == "X-Info-Id" || name == "X-T") && value != id {
			return fmt.Errorf("an answer is that of %s", value)
		}
	}
	for _, foreign := range []string{"EXTRA", "evil"} {
		if bytes.Contains(answer, []byte(foreign)) {
			return fmt.Errorf("an answer has %s in it", foreign)
		}
	}
	for part := range bytes.SplitSeq(answer, []byte("<")) {
		if name, _, whole := bytes.Cut(part, []byte(">")); whole && bytes.HasPrefix(name, []byte("c")) && !bytes.ContainsAny(name, " \r\n") && string(name) != id {
			return fmt.Errorf("a body is that of %s", name)
		}
	}
	return nil
}

// earlyAnswers has an instance answer before the body was read: the answer
// arrives, the connection ends, and no part of the body is a request.
func earlyAnswers(t *testing.T, open Open) {
	instance := NewInstance(t)
	address := open(t, instance.Address)
	evil := "GET /evil HTTP/1.1\r\nHost: " + Host + "\r\nX-Id: evil\r\nX: "
	data := evil + strings.Repeat("x", 0x4000-len(evil)-4) + "\r\n\r\n"
	post := "POST /?mode=%s HTTP/1.1\r\nHost: " + Host + "\r\nX-Id: one\r\n%s\r\n\r\n"
	for i := range 40 {
		mode := []string{"early", "earlyclose"}[i%2]
		first, then := fmt.Sprintf(post, mode, "Transfer-Encoding: chunked")+"4010\r\n"+strings.Repeat("y", 16), data[:4000]+"\r\n\r\n"
		if i%4 > 1 {
			first = fmt.Sprintf(post, mode, "Content-Length: 70000") + strings.Repeat("x", 68_500)
			then = strings.Repeat("x", 1500) + fmt.Sprintf(post, mode, "Content-Length: 80000") + strings.Repeat("y", 80_000)
		}
		c := connect(t, address)
		_, _ = io.WriteString(c, first)
		in := bufio.NewReader(c)
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(res.Body); err != nil || string(text) != "early" || !res.Close {
			t.Errorf("%s: %s %q, closes %v: %v", mode, res.Status, text, res.Close, err)
		}
		_, _ = io.WriteString(c, then) // it may be closed by now
		if rest, _ := io.ReadAll(in); len(rest) > 0 {
			t.Errorf("%s: after the answer comes %.80q", mode, rest)
		}
		c.Close()
	}
	for _, seen := range instance.Seen() {
		if strings.Contains(seen, "evil") {
			t.Fatalf("a part of a body arrives as %s", seen)
		}
	}
}

// endings looks at when a connection goes on and what says so.
func endings(t *testing.T, open Open) {
	instance := NewInstance(t)
	address := open(t, instance.Address)
	get := "GET /?mode=%s HTTP/1.%d\r\nHost: " + Host + "\r\nX-Id: one\r\n%s\r\n"
	for name, test := range map[string]struct {
		request string
		status  string
		closes  bool // and says so, as far as HTTP/1.1 is concerned
	}{
		"it goes on":                             {fmt.Sprintf(get, "", 1, ""), "200", false},
		"it is asked to end":                     {fmt.Sprintf(get, "", 1, "Connection: close\r\n"), "200", true},
		"it is asked to end, and fails":          {fmt.Sprintf(get, "silent", 1, "Connection: close\r\n"), "502", true},
		"a failure":                              {fmt.Sprintf(get, "silent", 1, ""), "502", false},
		"HTTP/1.0":                               {fmt.Sprintf(get, "", 0, ""), "200", true},
		"HTTP/1.0 that would go on":              {fmt.Sprintf(get, "", 0, "Connection: keep-alive\r\n"), "200", true},
		"HTTP/1.0, unknown length":               {fmt.Sprintf(get, "eof", 0, ""), "200", true},
		"HTTP/1.0 with both lengths":             {strings.Replace(fmt.Sprintf(get, "", 0, "Connection: keep-alive\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"), "GET", "POST", 1) + "0\r\n\r\n", "400", true},
		"an upgrade that the instance wants not": {fmt.Sprintf(get, "", 1, "Connection: Upgrade\r\nUpgrade: websocket\r\n"), "200", false},
	} {
		c := connect(t, address)
		_, _ = io.WriteString(c, test.request)
		in := bufio.NewReader(c)
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := io.ReadAll(res.Body); err != nil || !strings.HasPrefix(res.Status, test.status) || res.Close != test.closes {
			t.Errorf("%s: %s, says that it closes: %v, %v", name, res.Status, res.Close, err)
		}
		_, _ = io.WriteString(c, fmt.Sprintf(get, "", 1, "Connection: close\r\n"))
		rest, _ := io.ReadAll(in)
		if goesOn := bytes.HasPrefix(rest, []byte("HTTP/1.1 200")); goesOn == test.closes {
			t.Errorf("%s: what follows is answered %.40q", name, rest)
		}
	}
}

// upgrade carries another protocol both ways, and nothing of it is a request.
func upgrade(t *testing.T, open Open) {
	instance := NewInstance(t)
	address := open(t, instance.Address)
	head := "GET /?mode=upgrade HTTP/1.1\r\nHost: " + Host + "\r\nX-Id: one\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s\r\n"
	early := "GET /evil HTTP/1.1\r\nHost: " + Host + "\r\n\r\n"
	c := connect(t, address)
	_, _ = io.WriteString(c, fmt.Sprintf(head, "echo", "")+early)
	c.CloseWrite()
	answer, err := io.ReadAll(c)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 101 ")) || !bytes.HasSuffix(answer, []byte("\r\n\r\nhello one\n"+early)) {
		t.Errorf("%q, %v", answer, err)
	}
	// One with a body, and HTTP/2 by upgrade, are no upgrades.
	for _, request := range []string{
		fmt.Sprintf(head, "echo", "Content-Length: 3\r\n") + "abc",
		fmt.Sprintf(head, "h2c", "HTTP2-Settings: AAMAAABkAAQAAP__\r\n"),
	} {
		c := connect(t, address)
		_, _ = io.WriteString(c, strings.Replace(request, "mode=upgrade", "mode=", 1))
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Errorf("%+v, %v", res, err)
		}
		c = connect(t, address)
		_, _ = io.WriteString(c, request) // the instance switches all the same
		if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != http.StatusBadGateway {
			t.Errorf("%+v, %v", res, err)
		}
	}
	if seen := instance.Seen(); slices.ContainsFunc(seen, func(s string) bool { return strings.Contains(s, "evil") }) {
		t.Errorf("arrived: %q", seen)
	}
}
