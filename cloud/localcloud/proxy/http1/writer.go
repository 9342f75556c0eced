package http1

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"

	"showrunner/cloud/localcloud/proxy/upstream"
)

// Writer writes answers on one connection.
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

// Reply is to what kind of request an answer is written.
type Reply struct {
	Method string
	Old    bool // HTTP/1.0: the end of an answer of unknown length is the end of the connection
	Last   bool // the connection ends with the answer, and says so
}

// Inform writes an answer of the kind 1xx.
func (w *Writer) Inform(status int, header http.Header) error {
	w.begin(status, "")
	w.fields(header)
	w.out = append(w.out, "\r\n"...)
	_, err := w.to.Write(w.out)
	return err
}

// Text writes an answer of our own. Its type is plain text unless the header says
// something else.
func (w *Writer) Text(to Reply, status int, header http.Header, text string) error {
	w.begin(status, "")
	w.fields(header)
	w.date(header)
	if header["Content-Type"] == nil {
		w.out = append(w.out, "Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"...)
	}
	w.last(to)
	w.length(int64(len(text)))
	w.out = append(w.out, "\r\n"...)
	if to.Method != http.MethodHead {
		w.out = append(w.out, text...)
	}
	return w.flush()
}

// Switch writes the answer after which the connection speaks another protocol.
func (w *Writer) Switch(res *http.Response) error {
	w.begin(res.StatusCode, res.Status)
	w.out = append(w.out, "Connection: Upgrade\r\n"...)
	w.field("Upgrade", res.Header.Get("Upgrade"))
	w.fields(res.Header)
	w.out = append(w.out, "\r\n"...)
	return w.flush()
}

// Answer writes an instance's answer, and what has come of its body at once
// whenever more may take its time. The answer is closed, and so counted, before its
// last byte is sent. After an error the connection must be closed: the answer is
// not whole. An answer of unknown length to HTTP/1.0 ends with the connection.
func (w *Writer) Answer(to Reply, res *http.Response) error {
	w.begin(res.StatusCode, res.Status)
	w.fields(res.Header)
	w.date(res.Header)
	w.last(to)
	bodiless := res.StatusCode == http.StatusNoContent || res.StatusCode == http.StatusNotModified
	if to.Method == http.MethodHead || bodiless {
		if said := res.Header["Content-Length"]; res.StatusCode == http.StatusNotModified && len(said) == 1 {
			w.field("Content-Length", said[0]) // of what has not changed
		} else if !bodiless && res.ContentLength >= 0 {
			w.length(res.ContentLength)
		}
		w.out = append(w.out, "\r\n"...)
		res.Body.Close()
		return w.flush()
	}
	switch {
	case res.ContentLength >= 0:
		w.length(res.ContentLength)
		w.out = append(w.out, "\r\n"...)
		return w.whole(res)
	case to.Old:
		w.out = append(w.out, "\r\n"...)
		return w.pieces(res, false)
	}
	w.out = append(w.out, "Transfer-Encoding: chunked\r\n"...)
	for name := range res.Trailer {
		w.field("Trailer", name)
	}
	w.out = append(w.out, "\r\n"...)
	return w.pieces(res, true)
}

func (w *Writer) last(to Reply) {
	if to.Last {
		w.out = append(w.out, "Connection: close\r\n"...)
	}
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

// pieces writes a body whose length is not known, in chunks or as it is.
func (w *Writer) pieces(res *http.Response, chunks bool) error {
	if upstream.Pending(res) { // the body may take its time
		if err := w.flush(); err != nil {
			return err
		}
	}
	for {
		w.grow(room + piece + 2)
		at := len(w.out) + room
		n, err := res.Body.Read(w.out[at : at+piece])
		if n > 0 {
			w.piece(w.out[at:at+n], chunks)
		}
		if err == io.EOF {
			if chunks {
				w.end(res.Trailer)
			}
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

// piece adds some of a body, which may stand right behind what is written, in the same memory.
func (w *Writer) piece(p []byte, chunk bool) {
	if !chunk {
		w.out = append(w.out, p...)
		return
	}
	size := strconv.AppendInt(make([]byte, 0, room), int64(len(p)), 16)
	// The size stands before the piece: the gap between them is closed.
	w.out = append(append(w.out, size...), "\r\n"...)
	w.out = append(append(w.out, p...), "\r\n"...)
}

// end adds the last chunk and the trailers.
func (w *Writer) end(trailer http.Header) {
	w.out = append(w.out, "0\r\n"...)
	for name, values := range trailer {
		if upstream.HopByHop(name) || name == "Content-Length" {
			continue
		}
		for _, v := range values {
			w.field(name, v)
		}
	}
	w.out = append(w.out, "\r\n"...)
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
