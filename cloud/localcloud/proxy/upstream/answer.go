package upstream

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const mostFields = 64

// plainHead reads answers that cannot be misunderstood: whole in what has come
// so far, to the letter of RFC 9112, with one length and no word about framing
// or the connection. Every other answer is net/http's.
type plainHead struct {
	header http.Header // used again with each answer
	values [mostFields]string
}

// read takes the head of a plain answer away, and nothing of any other.
func (p *plainHead) read(in *bufio.Reader, to *http.Response) bool {
	seen, err := in.Peek(in.Buffered())
	if err != nil {
		return false
	}
	end := bytes.Index(seen, []byte("\r\n\r\n"))
	if end < 0 || !p.parse(string(seen[:end+2]), to) {
		return false
	}
	_, err = in.Discard(end + 4)
	return err == nil
}

func (p *plainHead) parse(head string, to *http.Response) bool {
	line, fields, _ := strings.Cut(head, "\r\n")
	status, ok := strings.CutPrefix(line, "HTTP/1.1 ")
	if !ok || len(status) < 4 || status[3] != ' ' || !httpguts.ValidHeaderFieldValue(status) {
		return false
	}
	code, err := strconv.ParseUint(status[:3], 10, 16)
	if err != nil || code < 200 || code > 599 || code == http.StatusNoContent || code == http.StatusNotModified {
		return false
	}
	if p.header == nil {
		p.header = http.Header{}
	}
	clear(p.header)
	length := int64(-1)
	for n := 0; fields != ""; n++ {
		line, fields, _ = strings.Cut(fields, "\r\n")
		name, value, ok := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		if !ok || n == mostFields || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return false
		}
		switch name = textproto.CanonicalMIMEHeaderKey(name); name {
		case "Transfer-Encoding", "Trailer", "Upgrade":
			return false
		case "Connection":
			if !strings.EqualFold(value, "keep-alive") {
				return false
			}
			continue
		case "Content-Length":
			size, err := strconv.ParseUint(value, 10, 62)
			if err != nil || length >= 0 {
				return false
			}
			length = int64(size)
		}
		if before := p.header[name]; before != nil {
			p.header[name] = append(before, value)
			continue
		}
		p.values[n] = value
		p.header[name] = p.values[n : n+1 : n+1]
	}
	if length < 0 {
		return false
	}
	*to = http.Response{Status: status, StatusCode: int(code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: p.header, ContentLength: length, Body: http.NoBody}
	return true
}

// plainBody is a body whose length was said.
type plainBody struct {
	in   *bufio.Reader
	left int64
}

// Read implements io.Reader. The end is said with the last bytes.
func (b *plainBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.in.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if err == io.EOF {
		return n, io.ErrUnexpectedEOF
	}
	if err == nil && b.left == 0 {
		err = io.EOF
	}
	return n, err
}
