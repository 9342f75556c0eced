package balancer_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestTrailersBothWays(t *testing.T) {
	_, address := one(t, handler(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Trailer", "X-After")
		fmt.Fprintf(w, "%s %s", body, r.Trailer.Get("X-Sum"))
		w.Header().Set("X-After", "told")
		w.Header().Set(http.TrailerPrefix+"X-Unsaid", "too")
	}))
	body, in := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Host, req.Trailer = "shop.localhost", http.Header{"X-Sum": nil}
	go func() {
		io.WriteString(in, "part")
		req.Trailer.Set("X-Sum", "42")
		in.Close()
	}()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || string(text) != "part 42" || res.Trailer.Get("X-After") != "told" || res.Trailer.Get("X-Unsaid") != "too" {
		t.Errorf("%q %v, trailers %v", text, err, res.Trailer)
	}
}

// An answer that does not wait for the body reaches the client, and the rest of
// the body is no next request.
func TestAnAnswerBeforeTheBody(t *testing.T) {
	_, address := one(t, raw(t, func(c net.Conn, in *bufio.Reader) {
		if _, err := head(in); err == nil {
			io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!")
		}
	}))
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: %d\r\n\r\nbegin", 10<<20)
	answers := bufio.NewReader(c)
	res, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusRequestEntityTooLarge || string(body) != "no!" || !res.Close {
		t.Errorf("%d %q %v, closes %v", res.StatusCode, body, err, res.Close)
	}
	if _, err := answers.ReadByte(); err == nil {
		t.Error("the connection goes on in the middle of a body")
	}
}

func TestExpectContinue(t *testing.T) {
	_, address := one(t, handler(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Want") == "" {
			http.Error(w, "keep it", http.StatusForbidden)
			return
		}
		io.Copy(w, r.Body) // the reader's error shows at the other end
	}))
	for want, status := range map[string]int{"": http.StatusForbidden, "1": http.StatusOK} {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: shop.localhost\r\nX-Want: %s\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", want)
		in := bufio.NewReader(c)
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if want != "" {
			if res.StatusCode != http.StatusContinue {
				t.Fatalf("%d before the body", res.StatusCode)
			}
			io.WriteString(c, "hello")
			if res, err = http.ReadResponse(in, nil); err != nil {
				t.Fatal(err)
			}
			if text, err := io.ReadAll(res.Body); err != nil || string(text) != "hello" {
				t.Errorf("%q %v", text, err)
			}
		}
		if res.StatusCode != status {
			t.Errorf("%d, want %d", res.StatusCode, status)
		}
	}
}

// Large bodies go through as they are, both ways at once.
func TestBodiesOfAllSizes(t *testing.T) {
	_, address := one(t, handler(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		io.Copy(w, r.Body) // the reader's error shows at the other end
	}))
	for _, size := range []int{0, 1, 64 << 10, 64<<10 + 1, 3 << 20} {
		for _, known := range []bool{true, false} {
			text := strings.Repeat("0123456789abcdef", size/16+1)[:size]
			var body io.Reader = strings.NewReader(text)
			if !known {
				body = struct{ io.Reader }{body}
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+address+"/", body)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = "shop.localhost"
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			back, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || string(back) != text {
				t.Errorf("%d bytes, length known %v: %d came back: %v", size, known, len(back), err)
			}
		}
	}
}

// Half an upload must not look like a whole one to the instance.
func TestAClientThatLeavesInTheMiddleOfItsBody(t *testing.T) {
	result := make(chan error, 1)
	arrived := make(chan struct{})
	_, address := one(t, handler(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		_, err := io.ReadAll(r.Body)
		result <- err
	}))
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: shop.localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	<-arrived
	c.Close()
	if err := <-result; err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the instance read to the end: %v", err)
	}
}
