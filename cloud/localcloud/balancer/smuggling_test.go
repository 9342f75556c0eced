package balancer_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// What two readers could understand differently never reaches an instance: it is
// refused, or it arrives as exactly one request with one meaning.
func TestSmuggling(t *testing.T) {
	const get = "GET /%s HTTP/1.1\r\nHost: shop.localhost\r\n"
	for name, test := range map[string]struct {
		request string
		arrives []string // request lines at the instance
	}{
		"both lengths":              {"POST /a HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n", nil},
		"two lengths that differ":   {"POST /a HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd\r\n", nil},
		"a list of lengths":         {"POST /a HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 4, 5\r\n\r\nabcd\r\n", nil},
		"a signed length":           {"POST /a HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: +4\r\n\r\nabcd", nil},
		"an unknown coding":         {"POST /a HTTP/1.1\r\nHost: shop.localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", nil},
		"two codings":               {"POST /a HTTP/1.1\r\nHost: shop.localhost\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", nil},
		"a space before the colon":  {"POST /a HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length : 4\r\n\r\nabcd", nil},
		"a NUL in a value":          {fmt.Sprintf(get, "a") + "X-A: a\x00b\r\n\r\n", nil},
		"a lone CR in a value":      {fmt.Sprintf(get, "a") + "X-A: a\rGET /evil HTTP/1.1\r\n\r\n", nil},
		"a CR in the target":        {"GET /a\rb HTTP/1.1\r\nHost: shop.localhost\r\n\r\n", nil},
		"a space in the target":     {"GET /a b HTTP/1.1\r\nHost: shop.localhost\r\n\r\n", nil},
		"two hosts":                 {fmt.Sprintf(get, "a") + "Host: evil.localhost\r\n\r\n", nil},
		"no host":                   {"GET /a HTTP/1.1\r\n\r\n", nil},
		"a space in the host":       {"GET /a HTTP/1.1\r\nHost: shop.localhost evil\r\n\r\n", nil},
		"a method that is no token": {"G(T /a HTTP/1.1\r\nHost: shop.localhost\r\n\r\n", nil},
		"a huge header":             {fmt.Sprintf(get, "a") + "X-A: " + strings.Repeat("a", 1<<20) + "\r\n\r\n", nil},
		"a broken chunk size":       {"POST /a HTTP/1.1\r\nHost: shop.localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n", nil},
		"a tunnel":                  {"CONNECT shop.localhost:80 HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n", nil},
		"another's whole address":   {"GET http://evil.localhost/a HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n", nil},
		"a whole address":           {"GET http://shop.localhost/a HTTP/1.1\r\nHost: evil.localhost\r\nConnection: close\r\n\r\n", []string{"GET /a HTTP/1.1"}},
		"a folded value":            {fmt.Sprintf(get, "a") + "X-A: a\r\n Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n", nil},
		"bare line feeds":           {"GET /a HTTP/1.1\nHost: shop.localhost\nConnection: close\n\n", nil},
		"a GET with a body":         {fmt.Sprintf(get, "a") + "Content-Length: 28\r\nConnection: close\r\n\r\nGET /evil HTTP/1.1\r\nHost: x\r\n", []string{"GET /a HTTP/1.1"}},
		"two in one piece":          {fmt.Sprintf(get, "a") + "\r\n" + fmt.Sprintf(get, "b") + "Connection: close\r\n\r\n", []string{"GET /a HTTP/1.1", "GET /b HTTP/1.1"}},
		"equal lengths twice":       {"POST /a HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 2\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi", nil},
		"a length in Connection":    {"POST /a HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 2\r\nConnection: close, content-length\r\n\r\nhi", []string{"POST /a HTTP/1.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var arrived []string
			_, address := one(t, raw(t, func(c net.Conn, in *bufio.Reader) {
				for {
					lines, err := head(in)
					if err != nil {
						return
					}
					size, coded := 0, false
					for _, line := range lines[1:] {
						fmt.Sscanf(line, "Content-Length: %d", &size)
						coded = coded || line == "Transfer-Encoding: chunked"
						if strings.ContainsAny(line, "\r\x00") || strings.HasPrefix(line, " ") {
							t.Errorf("line %q", line)
						}
					}
					if coded && size > 0 {
						t.Errorf("two lengths: %q", lines)
					}
					mu.Lock()
					arrived = append(arrived, lines[0])
					mu.Unlock()
					if coded {
						if _, err := io.Copy(io.Discard, newChunks(in)); err != nil {
							return
						}
					} else if _, err := io.CopyN(io.Discard, in, int64(size)); err != nil {
						return
					}
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			}))
			answer := speak(t, address, test.request)
			mu.Lock()
			defer mu.Unlock()
			if test.arrives == nil && name != "a broken chunk size" && (len(arrived) > 0 || !strings.HasPrefix(answer, "HTTP/1.1 4") && !strings.HasPrefix(answer, "HTTP/1.1 501")) {
				t.Errorf("arrived %q, answered %.80q", arrived, answer)
			}
			if test.arrives != nil && (!slices.Equal(arrived, test.arrives) || strings.Count(answer, "HTTP/1.1 200 OK") != len(test.arrives)) {
				t.Errorf("arrived %q, answered %q", arrived, answer)
			}
			if slices.ContainsFunc(arrived, func(line string) bool { return strings.Contains(line, "evil") }) {
				t.Errorf("smuggled: %q", arrived)
			}
		})
	}
}

// newChunks reads a chunked body as net/http does.
func newChunks(in *bufio.Reader) io.Reader {
	res, err := http.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), in)), nil)
	if err != nil {
		panic(err) // the text is ours
	}
	return res.Body
}

func TestWhatInstancesSay(t *testing.T) {
	for name, test := range map[string]struct{ says, status, body string }{
		"a length":                    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "200 OK", "hi"},
		"chunks":                      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "200 OK", "hi"},
		"until it closes":             {"HTTP/1.1 200 OK\r\n\r\nhi", "200 OK", "hi"},
		"HTTP/1.0":                    {"HTTP/1.0 200 OK\r\n\r\nhi", "200 OK", "hi"},
		"nothing":                     {"HTTP/1.1 204 No Content\r\n\r\n", "204 No Content", ""},
		"not modified, with a length": {"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", "304 Not Modified", ""},
		"a length that is none":       {"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nhi", "502 Bad Gateway", ""},
		"two lengths":                 {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi!", "502 Bad Gateway", ""},
		"no HTTP":                     {"hello\r\n\r\n", "502 Bad Gateway", ""},
		"half a head":                 {"HTTP/1.1 200 OK\r\nContent-Le", "502 Bad Gateway", ""},
		"a switch nobody asked for":   {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", "502 Bad Gateway", ""},
		"a huge head":                 {"HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 512<<10) + "\r\n\r\n", "502 Bad Gateway", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, address := one(t, raw(t, func(c net.Conn, in *bufio.Reader) {
				if _, err := head(in); err == nil {
					io.WriteString(c, test.says)
				}
			}))
			answer := speak(t, address, "POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), nil)
			if err != nil {
				t.Fatalf("%v in %q", err, answer)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil || res.Status != test.status || test.body != "" && string(body) != test.body || res.StatusCode < 400 && string(body) != test.body {
				t.Errorf("%s %q %v", res.Status, body, err)
			}
		})
	}
}
