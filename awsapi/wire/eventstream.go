package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net/http"
	"reflect"
)

// Streamed is the output of an operation whose answer is a stream of events. It is
// called once the request has been accepted, and sends events until it returns; an
// error ends the answer as an exception of the stream.
type Streamed func(send Send) error

// Send sends one event of a stream: its kind is a member of the stream's union, its
// payload bytes, or a value that is written as JSON. The error is that the client has gone.
type Send func(kind string, payload any) error

var streamedType = reflect.TypeFor[Streamed]()

// stream writes the answer of a streamed operation.
func (q *Request) stream(w http.ResponseWriter, id string, s Streamed) {
	h := w.Header()
	h.Set("X-Amzn-Requestid", id)
	h.Set("Content-Type", "application/vnd.amazon.eventstream")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	send := func(headers [][2]string, payload []byte) error {
		if _, err := w.Write(eventMessage(headers, payload)); err != nil {
			return err
		}
		return flush.Flush()
	}
	event := func(kind string, payload any) error {
		content, body := "application/octet-stream", []byte(nil)
		if raw, ok := payload.([]byte); ok {
			body = raw
		} else {
			var err error
			if body, err = json.Marshal(payload); err != nil {
				return fmt.Errorf("the event %s of %s: %w", kind, q.Operation, err)
			}
			content = "application/json"
		}
		return send([][2]string{{":message-type", "event"}, {":event-type", kind}, {":content-type", content}}, body)
	}
	if q.Protocol != REST { // the members beside the stream, of which there are none
		if event("initial-response", map[string]any{}) != nil {
			return
		}
	}
	if err := s(event); err != nil {
		e := &Error{Code: "InternalFailure", Message: "The stream ended early."}
		if known, ok := Translate(err).(*Error); ok {
			e = known
		}
		body, _ := json.Marshal(map[string]string{"message": e.Message}) // strings alone
		// A client that has gone does not read why.
		_ = send([][2]string{{":message-type", "exception"}, {":exception-type", e.Code}, {":content-type", "application/json"}}, body)
	}
}

// eventMessage is one message in the encoding application/vnd.amazon.eventstream: its
// length and that of its headers, their checksum, the headers, the payload, and the
// checksum of all of it.
func eventMessage(headers [][2]string, payload []byte) []byte {
	const preludeBytes, checksumBytes, stringHeader = 12, 4, 7
	var names bytes.Buffer
	for _, h := range headers {
		names.WriteByte(byte(len(h[0])))
		names.WriteString(h[0])
		names.WriteByte(stringHeader)
		names.Write(binary.BigEndian.AppendUint16(nil, uint16(len(h[1]))))
		names.WriteString(h[1])
	}
	out := binary.BigEndian.AppendUint32(nil, uint32(preludeBytes+names.Len()+len(payload)+checksumBytes))
	out = binary.BigEndian.AppendUint32(out, uint32(names.Len()))
	out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out))
	out = append(append(out, names.Bytes()...), payload...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out))
}
