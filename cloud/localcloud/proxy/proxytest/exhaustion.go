//go:build unix

package proxytest

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// files is how many descriptors a front has whose clients want more.
const files = 128

// instanceVariable tells the process that is the front where its instance is.
const instanceVariable = "PROXYTEST_INSTANCE"

// Exhaustion has a front run out of descriptors, in a process of its own: name is
// the test that calls it. Whatever is answered is the asker's own, nothing ends the
// process, and all is well once the clients have gone.
func Exhaustion(t *testing.T, name string, open Open) {
	if instance := os.Getenv(instanceVariable); instance != "" {
		limit := syscall.Rlimit{Cur: files, Max: files}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		fmt.Println("front=" + open(t, instance))
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends
		return
	}
	instance := NewInstance(t)
	address := startFront(t, name, instance.Address)
	t.Run("Clients", func(t *testing.T) { tooManyClients(t, address) })
	checkOne(t, address, "between") // the front has seen that they left
	for name, slow := range slowClients {
		t.Run("Slow/"+name, func(t *testing.T) { tooManySlowClients(t, address, slow) })
		checkOne(t, address, "between")
	}
	t.Run("Streams", func(t *testing.T) { tooManyStreams(t, instance, address) })
	t.Run("Refused", func(t *testing.T) { refusedRequests(t, address) })
	for i := range 30 { // and all is well
		checkOne(t, address, fmt.Sprintf("after-%d", i))
	}
}

// refusedRequests has a client send what is refused more often than there are
// descriptors, one after another: none of these connections is kept.
func refusedRequests(t *testing.T, address string) {
	for i := range 3 * files {
		c := connect(t, address)
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+Host+"\r\nContent-Length: +1\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(c)
		if !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
			t.Fatalf("after %d refused requests: %q %v", i, answer, err)
		}
		c.Close()
	}
	checkOne(t, address, "after-refused")
}

// startFront runs the front until the test ends.
func startFront(t *testing.T, name, instance string) (address string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+name+"$")
	cmd.Env = append(os.Environ(), instanceVariable+"="+instance)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for address == "" {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("the front ended: %v", err)
		}
		address, _ = strings.CutPrefix(strings.TrimSpace(line), "front=")
	}
	t.Cleanup(func() {
		in.Close()
		said, _ := io.ReadAll(lines)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the front: %v\n%s", err, said)
		}
	})
	return address
}

// checkOne asks on a connection of its own.
func checkOne(t *testing.T, address, id string) {
	t.Helper()
	checkAnswer(t, id, askOne(t, address, id))
}

// askOne is the whole answer to a request on a connection of its own.
func askOne(t *testing.T, address, id string) string {
	t.Helper()
	c := connect(t, address)
	defer c.Close()
	fmt.Fprintf(c, "GET /?mode= HTTP/1.1\r\nHost: %s\r\nX-Id: %s\r\nConnection: close\r\n\r\n", Host, id)
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("%s: %v", id, err)
	}
	return string(answer)
}

func checkAnswer(t *testing.T, id, answer string) {
	t.Helper()
	if !strings.HasPrefix(answer, "HTTP/1.1 200 ") || !strings.Contains(answer, "X-Echo-Id: "+id+"\r\n") {
		t.Errorf("%s is answered %.200q", id, answer)
	}
}

// tooManyClients opens more connections than there may be, idle ones and slow
// ones: others are served all the same.
func tooManyClients(t *testing.T, address string) {
	for i := range 2 * files {
		c := connect(t, address)
		if i%8 == 0 {
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: sh") // it may be closed by now
		}
		if i%16 == 0 {
			checkOne(t, address, fmt.Sprintf("one-of-many-%d", i))
		}
	}
}

// streams is how many requests one connection of HTTP/2 makes at once: more than there
// can be connections to instances, and fewer than a connection may have.
const streams = 240

// tooManyStreams has one client of HTTP/2 ask for more at once than there can be
// connections to instances.
func tooManyStreams(t *testing.T, instance *Instance, address string) {
	release := instance.Hold()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	first, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/?mode=", nil)
	if err != nil {
		t.Fatal(err)
	}
	first.Host = Host
	res, err := transport.RoundTrip(first) // the connection is there, and how many streams it may have is known
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	var wg sync.WaitGroup
	var answered, refused atomic.Int64
	refusals := make(chan struct{}, streams)
	for i := range streams {
		wg.Go(func() {
			id := fmt.Sprintf("stream-%d", i)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/?mode=hold", nil)
			if err != nil {
				t.Error(err)
				return
			}
			r.Host = Host
			r.Header.Set("X-Id", id)
			res, err := transport.RoundTrip(r)
			if err != nil {
				t.Errorf("%s: %v", id, err)
				return
			}
			defer res.Body.Close()
			switch got := res.Header.Get("X-Echo-Id"); {
			case res.StatusCode == http.StatusOK && got == id:
				answered.Add(1)
			case res.StatusCode == http.StatusServiceUnavailable && got == "":
				refused.Add(1)
				refusals <- struct{}{}
			default:
				t.Errorf("%s is answered %s by %q", id, res.Status, got)
			}
		})
	}
	<-refusals // there are no more descriptors
	release()
	wg.Wait()
	if answered.Load() == 0 {
		t.Errorf("%d were refused, and none answered", refused.Load())
	}
}
