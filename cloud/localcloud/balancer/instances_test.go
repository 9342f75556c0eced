package balancer_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"showrunner/cloud/localcloud/balancer"
)

// raw is an instance that says exactly what a test wants: play is given each
// connection.
func raw(t *testing.T, play func(c net.Conn, in *bufio.Reader)) balancer.Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				play(c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return balancer.Target{ID: l.Addr().String(), Address: l.Addr().String()}
}

// one serves a single target.
func one(t *testing.T, target balancer.Target) (*balancer.Balancer, string) {
	t.Helper()
	b, address := start(t, balancer.Config{})
	b.SetCluster(balancer.Cluster{Name: "shop", Groups: []balancer.Group{{Name: "g", Weight: 1, Targets: []balancer.Target{target}}}})
	return b, address
}

func handler(t *testing.T, h http.HandlerFunc) balancer.Target {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return target("a", s)
}

// speak sends bytes as they are and returns everything that is answered until
// the other side closes; the last request should ask for that.
func speak(t *testing.T, address, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(c) // a reset ends it as well
	return string(answer)
}

// head reads the head of a request, line by line.
func head(in *bufio.Reader) ([]string, error) {
	var lines []string
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return lines, err
		}
		if line == "\r\n" {
			return lines, nil
		}
		lines = append(lines, strings.TrimRight(line, "\r\n"))
	}
}

// exchange sends a request as it is and returns the answer with its body.
func exchange(address, request string) (*http.Response, string, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, "", err
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		return nil, "", err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res, string(text), err
}

// later does an exchange meanwhile; the answer is its status and body.
func later(address, request string) chan string {
	answer := make(chan string, 1)
	go func() {
		res, text, err := exchange(address, request)
		if err != nil {
			text = err.Error()
		} else {
			text = fmt.Sprint(res.StatusCode, " ", text)
		}
		answer <- text
	}()
	return answer
}

// held is an instance that says its name once it is let go.
func held(t *testing.T, name string) (target balancer.Target, arrived chan bool, leave chan bool) {
	arrived, leave = make(chan bool, 100), make(chan bool)
	target = raw(t, func(c net.Conn, in *bufio.Reader) {
		for {
			if _, err := head(in); err != nil {
				return
			}
			arrived <- true
			if _, open := <-leave; !open {
				return
			}
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(name), name)
		}
	})
	target.ID = name
	t.Cleanup(func() { close(leave) })
	return target, arrived, leave
}

// clock lets a test decide when the time for an answer is over: each function
// received ends one.
func clock() (<-chan func(), func(time.Duration, func()) *time.Timer) {
	clocks := make(chan func(), 100)
	return clocks, func(_ time.Duration, over func()) *time.Timer {
		clocks <- over
		return time.NewTimer(0)
	}
}

// says is an instance that answers with its name.
func says(t *testing.T, name string) balancer.Target {
	target := raw(t, func(c net.Conn, in *bufio.Reader) {
		for {
			if _, err := head(in); err != nil {
				return
			}
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(name), name)
		}
	})
	target.ID = name
	return target
}

func shop(targets ...balancer.Target) balancer.Cluster {
	return balancer.Cluster{Name: "shop", Groups: []balancer.Group{{Name: "g", Weight: 1, Targets: targets}}}
}

// errorsOf are the failures counted against an instance.
func errorsOf(b *balancer.Balancer, id string) uint64 {
	for _, c := range b.Counts("shop") {
		if c.Instance == id {
			return c.Errors
		}
	}
	return 0
}
