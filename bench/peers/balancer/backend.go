package balancer

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

// backendVariable makes this program a backend; its value is the size of the
// answers in bytes.
const backendVariable = "BENCH_BACKEND_BYTES"

// backend answers every request with the same bytes and does as little else as
// possible, so that the measurement does not measure the backend. It supports
// only requests without a body.
func backend() error {
	size, err := strconv.Atoi(os.Getenv(backendVariable))
	if err != nil {
		return err
	}
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", size, bytes.Repeat([]byte("x"), size))
	l, err := net.Listen("tcp", net.JoinHostPort(os.Getenv("HOST"), os.Getenv("PORT")))
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() { <-stop; l.Close() }()
	for {
		c, err := l.Accept()
		if err != nil {
			return nil // it was told to end
		}
		go serve(c, answer)
	}
}

func serve(c net.Conn, answer []byte) {
	defer c.Close()
	buf := make([]byte, 16<<10)
	n := 0
	for {
		k, err := c.Read(buf[n:])
		if err != nil {
			return
		}
		n += k
		for {
			end := bytes.Index(buf[:n], []byte("\r\n\r\n"))
			if end < 0 {
				break
			}
			n = copy(buf, buf[end+4:n])
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	}
}
