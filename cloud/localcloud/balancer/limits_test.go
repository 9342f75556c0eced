package balancer_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"showrunner/cloud/localcloud/balancer"
)

// paths are the ways on which a request goes through the balancer.
var paths = map[string]string{
	"plain":    "GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n",
	"net/http": "GET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n",
}

func TestBeyondTheLimitAnotherInstanceIsChosen(t *testing.T) {
	for name, request := range paths {
		t.Run(name, func(t *testing.T) {
			b, address := start(t, balancer.Config{})
			a, atA, _ := held(t, "a")
			other, atB, leave := held(t, "b")
			c := shop(a, other)
			c.MaxInFlight = 1
			b.SetCluster(c)
			later(address, request)
			later(address, request)
			<-atA
			<-atB // each has one, whatever was drawn
			waits := later(address, request)
			leave <- true
			<-atB // the place goes to the request that waits
			leave <- true
			if answer := <-waits; answer != "200 b" {
				t.Errorf("the request that waited got %q", answer)
			}
			if n := errorsOf(b, "a") + errorsOf(b, "b"); n != 0 {
				t.Errorf("%d failures counted", n)
			}
		})
	}
}

func TestWithoutAPlaceItSaysSo(t *testing.T) {
	for name, request := range paths {
		t.Run(name, func(t *testing.T) {
			b, address := start(t, balancer.Config{Patience: time.Millisecond, OnEject: func(id, why string) { t.Errorf("%s ejected: %s", id, why) }})
			a, arrived, leave := held(t, "a")
			c := shop(a)
			c.MaxInFlight = 1
			b.SetCluster(c)
			first := later(address, request)
			<-arrived
			for range 5 {
				res, text, err := exchange(address, request)
				if err != nil || res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || !strings.Contains(text, "as many requests") {
					t.Fatalf("%v %q %v", res, text, err)
				}
			}
			leave <- true
			if answer := <-first; answer != "200 a" || errorsOf(b, "a") != 0 {
				t.Errorf("%q, %d failures", answer, errorsOf(b, "a"))
			}
		})
	}
}

// However many come at once, no more than the limit are at an instance, none is
// lost, and the places are used.
func TestTheLimitHolds(t *testing.T) {
	b, address := start(t, balancer.Config{Patience: time.Minute})
	const most, crowd = 3, 300
	requests := []string{paths["plain"], paths["net/http"], "POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 4\r\n\r\nbody"}
	var mu sync.Mutex
	now, peak := map[string]int{}, map[string]int{}
	busy := func(name string) balancer.Target {
		target := handler(t, func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			now[name]++
			peak[name] = max(peak[name], now[name])
			mu.Unlock()
			io.Copy(io.Discard, r.Body)
			mu.Lock()
			now[name]--
			mu.Unlock()
			io.WriteString(w, name)
		})
		target.ID = name
		return target
	}
	c := shop(busy("a"), busy("b"))
	c.MaxInFlight = most
	b.SetCluster(c)
	var all []<-chan string
	for i := range crowd {
		all = append(all, later(address, requests[i%len(requests)]))
		if i%50 == 0 {
			b.SetCluster(c)
		}
	}
	for _, answer := range all {
		if text := <-answer; text != "200 a" && text != "200 b" {
			t.Errorf("%q", text)
		}
	}
	for name, n := range peak {
		if n > most {
			t.Errorf("%d at once at %s", n, name)
		}
	}
	if err := b.Drain(t.Context(), "a"); err != nil { // nothing is counted as in flight any more
		t.Error(err)
	}
}

func TestATunnelTakesAPlace(t *testing.T) {
	b, address := start(t, balancer.Config{Patience: time.Millisecond})
	upgraded := make(chan bool)
	target := raw(t, func(c net.Conn, in *bufio.Reader) {
		if _, err := head(in); err != nil {
			return
		}
		<-upgraded // long after any time limit for an answer
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		line, err := in.ReadString('\n')
		if err == nil {
			io.WriteString(c, line)
		}
		in.ReadString('\n')
	})
	c := shop(target)
	c.MaxInFlight, c.ResponseTimeout, c.HedgingDelay = 1, time.Nanosecond, time.Nanosecond
	b.SetCluster(c)
	client, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	io.WriteString(client, "GET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	upgraded <- true
	in := bufio.NewReader(client)
	if lines, err := head(in); err != nil || !strings.Contains(lines[0], "101") {
		t.Fatalf("%q %v", lines, err)
	}
	for name, request := range paths {
		if res, text, err := exchange(address, request); err != nil || res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s: %v %q %v", name, res, text, err)
		}
	}
	io.WriteString(client, "hello\n")
	if line, err := in.ReadString('\n'); err != nil || line != "hello\n" {
		t.Errorf("%q %v", line, err)
	}
}

func TestAnAnswerThatTakesTooLong(t *testing.T) {
	for name, request := range paths {
		t.Run(name, func(t *testing.T) {
			b, address := start(t, balancer.Config{Patience: time.Millisecond})
			slow, arrived, _ := held(t, "slow")
			c := shop(slow)
			c.ResponseTimeout = time.Millisecond
			b.SetCluster(c)
			res, text, err := exchange(address, request)
			if err != nil || res.StatusCode != http.StatusGatewayTimeout || errorsOf(b, "slow") != 1 {
				t.Errorf("%v %q %v, %d failures", res, text, err, errorsOf(b, "slow"))
			}
			<-arrived
			// What may have been done is not done again.
			post := "POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 1\r\n\r\nx"
			if res, text, err := exchange(address, post); err != nil || res.StatusCode != http.StatusGatewayTimeout {
				t.Errorf("a POST: %v %q %v", res, text, err)
			}
		})
	}
}

// The time is over for the instance that hangs alone: however busy the machine
// is, the other one's answer is in time.
func TestAnotherInstanceAnswersInTime(t *testing.T) {
	for name, request := range paths {
		t.Run(name, func(t *testing.T) {
			clocks, after := clock()
			b, address := start(t, balancer.Config{}.WithClock(after))
			slow, arrived, _ := held(t, "slow")
			c := shop(slow, says(t, "quick"))
			c.ResponseTimeout = time.Minute
			b.SetCluster(c)
			for hung := false; !hung; {
				answer := later(address, request)
				select {
				case <-arrived:
					(<-clocks)()
					hung = true
				case text := <-answer:
					<-clocks // it had one
					answer <- text
				}
				if text := <-answer; text != "200 quick" {
					t.Fatalf("%q", text)
				}
			}
			if n := errorsOf(b, "slow"); n != 1 {
				t.Errorf("%d failures counted", n)
			}
		})
	}
}

// The clock ends with the answer's header, and begins with the end of the request.
func TestStreamsAreNotCutByTheResponseTimeout(t *testing.T) {
	clocks, after := clock()
	b, address := start(t, balancer.Config{}.WithClock(after))
	begun, goOn := make(chan bool), make(chan bool)
	target := raw(t, func(c net.Conn, in *bufio.Reader) {
		if _, err := head(in); err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n")
		begun <- true
		<-goOn
		io.WriteString(c, "data: 2\n")
	})
	c := shop(target)
	c.ResponseTimeout = time.Minute
	b.SetCluster(c)
	for name, request := range paths {
		client, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		io.WriteString(client, request)
		<-begun
		res, err := http.ReadResponse(bufio.NewReader(client), nil) // its header has come
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		(<-clocks)() // the time that must not matter any more
		goOn <- true
		if text, err := io.ReadAll(res.Body); err != nil || string(text) != "data: 1\ndata: 2\n" {
			t.Errorf("%s: %q %v", name, text, err)
		}
	}
	if n := errorsOf(b, target.ID); n != 0 {
		t.Errorf("%d failures counted", n)
	}
}

func TestHedging(t *testing.T) {
	for name, request := range paths {
		t.Run(name, func(t *testing.T) {
			b, address := start(t, balancer.Config{OnEject: func(id, why string) { t.Errorf("%s ejected: %s", id, why) }})
			slow, arrived, _ := held(t, "slow")
			c := shop(slow, says(t, "quick"))
			c.HedgingDelay = time.Millisecond
			b.SetCluster(c)
			for range 5 {
				for len(arrived) == 0 {
					if answer := <-later(address, request); answer != "200 quick" {
						t.Fatalf("%q", answer)
					}
				}
				<-arrived
			}
			if err := b.Drain(t.Context(), "slow"); err != nil { // what was called off has ended
				t.Error(err)
			}
			if n := errorsOf(b, "slow") + errorsOf(b, "quick"); n != 0 {
				t.Errorf("%d failures counted", n)
			}
			hedged := map[string]uint64{}
			for _, c := range b.Counts("shop") {
				hedged[c.Instance] = c.Hedged
			}
			// Each that arrived at the slow one was hedged: there, or from the quick one on a busy machine.
			if hedged["slow"]+hedged["quick"] != hedged[""] || hedged[""] < 5 {
				t.Errorf("hedged: %v", hedged)
			}
		})
	}
}

// What may not be repeated, and what has a body, is sent once.
func TestHedgingIsForWhatMayBeRepeated(t *testing.T) {
	for name, request := range map[string]string{
		"POST":        "POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 0\r\n\r\n",
		"with a body": "PUT / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 1\r\n\r\nx",
	} {
		t.Run(name, func(t *testing.T) {
			b, address := start(t, balancer.Config{})
			a, atA, leaveA := held(t, "a")
			other, atB, leaveB := held(t, "b")
			c := shop(a, other)
			c.HedgingDelay = time.Nanosecond
			b.SetCluster(c)
			answer := later(address, request)
			select {
			case <-atA:
				leaveA <- true
			case <-atB:
				leaveB <- true
			}
			<-answer
			if len(atA)+len(atB) != 0 {
				t.Error("it was sent twice")
			}
		})
	}
}
