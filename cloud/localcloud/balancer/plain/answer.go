package plain

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"

	"showrunner/cloud/localcloud/balancer/upstream"
)

// Writer writes answers to plain requests on one connection.
type Writer struct {
	to   io.Writer
	out  []byte
	past [1]byte // what must not come after a body
}

// Sizes of what is written at once, in bytes.
const (
	piece = 32 << 10
	room  = 10 // before a chunk, for its size in hexadecimal and a line end
)

// NewWriter writes to a connection.
func NewWriter(to io.Writer) *Writer { return &Writer{to: to, out: make([]byte, 0, 4<<10)} }

// Inform writes an answer of the kind 1xx.
func (w *Writer) Inform(status int, header http.Header) error {
	w.begin(status, "")
	w.fields(header)
	w.out = append(w.out, "\r\n"...)
	_, err := w.to.Write(w.out)
	return err
}

// Text writes an answer of our own.
func (w *Writer) Text(method string, status int, header http.Header, text string) error {
	text += "\n"
	w.begin(status, "")
	w.fields(header)
	w.date(header)
	w.out = append(w.out, "Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: "...)
	w.out = strconv.AppendInt(w.out, int64(len(text)), 10)
	w.out = append(w.out, "\r\n\r\n"...)
	if method != http.MethodHead {
		w.out = append(w.out, text...)
	}
	_, err := w.to.Write(w.out)
	return err
}

// Answer writes an instance's answer, and what has come of its body at once
// whenever more may take its time. last says that the connection ends with it.
// The answer is closed, and so counted, before its last byte is sent. After an
// error the connection must be closed: the answer is not whole.
func (w *Writer) Answer(method string, res *http.Response, last bool) error {
	w.begin(res.StatusCode, res.Status)
	w.fields(res.Header)
	w.date(res.Header)
	if last {
		w.out = append(w.out, "Connection: close\r\n"...)
	}
	bodiless := res.StatusCode == http.StatusNoContent || res.StatusCode == http.StatusNotModified
	if method == http.MethodHead || bodiless {
		if said := res.Header["Content-Length"]; res.StatusCode == http.StatusNotModified && len(said) == 1 {
			w.field("Content-Length", said[0]) // of what has not changed
		} else if !bodiless && res.ContentLength >= 0 {
			w.length(res.ContentLength)
		}
		w.out = append(w.out, "\r\n"...)
		res.Body.Close()
		return w.flush()
	}
	if res.ContentLength < 0 {
		w.out = append(w.out, "Transfer-Encoding: chunked\r\n"...)
		for name := range res.Trailer {
			w.field("Trailer", name)
		}
		w.out = append(w.out, "\r\n"...)
		return w.chunks(res)
	}
	w.length(res.ContentLength)
	w.out = append(w.out, "\r\n"...)
	return w.whole(res)
}

// whole writes a body whose length was said.
func (w *Writer) whole(res *http.Response) error {
	for left := res.ContentLength; left > 0; {
		w.grow(int(min(left, piece)))
		n, err := res.Body.Read(w.out[len(w.out):min(cap(w.out), len(w.out)+int(min(left, piece)))])
		w.out = w.out[:len(w.out)+n]
		left -= int64(n)
		if err == io.EOF && left > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil && err != io.EOF {
			return err
		}
		if left > 0 && (upstream.Pending(res) || len(w.out) >= piece) {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	// Its end is read as well: the connection to the instance can be used again.
	if n, err := res.Body.Read(w.past[:]); n > 0 || err != io.EOF {
		return io.ErrUnexpectedEOF
	}
	res.Body.Close()
	return w.flush()
}

// chunks writes a body whose length is not known.
func (w *Writer) chunks(res *http.Response) error {
	for {
		w.grow(room + piece + 2)
		at := len(w.out) + room
		n, err := res.Body.Read(w.out[at : at+piece])
		if n > 0 {
			size := strconv.AppendInt(make([]byte, 0, room), int64(n), 16)
			// The size stands before the piece: the gap between them is closed.
			w.out = append(append(w.out, size...), "\r\n"...)
			w.out = append(w.out, w.out[at:at+n]...)
			w.out = append(w.out, "\r\n"...)
		}
		if err == io.EOF {
			w.out = append(w.out, "0\r\n"...)
			for name, values := range res.Trailer {
				if upstream.HopByHop(name) || name == "Content-Length" {
					continue
				}
				for _, v := range values {
					w.field(name, v)
				}
			}
			w.out = append(w.out, "\r\n"...)
			res.Body.Close()
			return w.flush()
		}
		if err != nil {
			return err
		}
		if upstream.Pending(res) || len(w.out) >= piece {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
}

func (w *Writer) flush() error {
	if len(w.out) == 0 {
		return nil
	}
	_, err := w.to.Write(w.out)
	w.out = w.out[:0]
	if cap(w.out) > 2*piece {
		w.out = make([]byte, 0, 4<<10)
	}
	return err
}

// grow makes room for n more bytes.
func (w *Writer) grow(n int) {
	if cap(w.out)-len(w.out) < n {
		w.out = append(make([]byte, 0, len(w.out)+n), w.out...)
	}
}

// begin writes the first line. said is the status as the instance has it, "200 OK":
// its reason is kept when it is one line.
func (w *Writer) begin(status int, said string) {
	w.out = append(w.out[:0], "HTTP/1.1 "...)
	w.out = strconv.AppendInt(w.out, int64(status), 10)
	w.out = append(w.out, ' ')
	_, text, _ := strings.Cut(said, " ")
	if text == "" || !httpguts.ValidHeaderFieldValue(text) {
		text = http.StatusText(status)
	}
	if text == "" {
		text = "status code " + strconv.Itoa(status)
	}
	w.out = append(append(w.out, text...), "\r\n"...)
}

// fields writes what is not about the connection to the instance alone.
func (w *Writer) fields(h http.Header) {
	listed := h["Connection"]
	for name, values := range h {
		if name == "Content-Length" || upstream.HopByHop(name) || len(listed) > 0 && httpguts.HeaderValuesContainsToken(listed, name) {
			continue
		}
		for _, v := range values {
			w.field(name, v)
		}
	}
}

// field writes one line, and one only.
func (w *Writer) field(name, value string) {
	if !httpguts.ValidHeaderFieldName(name) {
		return
	}
	w.out = append(append(w.out, name...), ": "...)
	if strings.ContainsAny(value, "\r\n") {
		value = strings.NewReplacer("\r", " ", "\n", " ").Replace(value)
	}
	w.out = append(append(w.out, value...), "\r\n"...)
}

func (w *Writer) length(n int64) {
	w.out = append(w.out, "Content-Length: "...)
	w.out = strconv.AppendInt(w.out, n, 10)
	w.out = append(w.out, "\r\n"...)
}

func (w *Writer) date(h http.Header) {
	if h["Date"] == nil {
		w.out = append(append(w.out, "Date: "...), date(time.Now())...)
		w.out = append(w.out, "\r\n"...)
	}
}

// dated is a second and how it is written.
type dated struct {
	second int64
	text   string
}

var lastDate atomic.Pointer[dated]

// date writes a time as a header has it; within one second it is written once.
func date(now time.Time) string {
	if last := lastDate.Load(); last != nil && last.second == now.Unix() {
		return last.text
	}
	d := &dated{now.Unix(), now.UTC().Format(http.TimeFormat)}
	lastDate.Store(d)
	return d.text
}
