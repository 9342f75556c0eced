package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Answer writes the value of an operation's output: a struct, or nil. When it returns
// an error nothing is written. A client that has gone is none.
func (q *Request) Answer(w http.ResponseWriter, id string, output any) error {
	if s, ok := output.(*Streamed); ok {
		q.stream(w, id, *s)
		return nil
	}
	var v map[string]any
	var err error
	if q.operation.Output != nil {
		if v, err = q.model.unbind(q.model.of(q.operation.Output), output); err != nil {
			return fmt.Errorf("the answer of %s: %w", q.Operation, err)
		}
	}
	status, body := http.StatusOK, []byte(nil)
	h := w.Header()
	h.Set("X-Amzn-Requestid", id)
	switch q.Protocol {
	case Query, EC2:
		h.Set("Content-Type", "text/xml;charset=UTF-8")
		body, err = q.model.queryAnswer(q.operation, v, id)
	case REST:
		h.Set("Content-Type", "application/json")
		status, body, err = q.model.restAnswer(q.operation, v, h)
	case CBOR:
		h.Set("Content-Type", "application/cbor")
		h.Set("Smithy-Protocol", string(CBOR))
		if v == nil {
			v = map[string]any{}
		}
		body, err = writeCBOR(v)
	default:
		h.Set("Content-Type", "application/x-amz-json-"+q.shown)
		if q.operation.Output == nil {
			body = []byte("{}")
			if q.shown == "1.1" {
				body = nil
			}
		} else {
			body, err = q.model.writeJSON(q.model.of(q.operation.Output), v)
		}
		h.Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10))
	}
	if err != nil {
		return fmt.Errorf("the answer of %s: %w", q.Operation, err)
	}
	if status == http.StatusNoContent {
		w.WriteHeader(status)
		return nil
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
	return nil
}

// Fail writes an error in the form that clients of the request's protocol read. q
// may be of a request that could not be understood. An error that is no *Error is
// an InternalFailure whose text is logged and not told.
func (q *Request) Fail(w http.ResponseWriter, id string, err error, log *slog.Logger) {
	var e *Error
	if !errors.As(err, &e) {
		log.Error("an AWS request failed", "operation", q.Operation, "request", id, "error", err)
		e = &Error{Code: "InternalFailure", Message: "The request failed here; the log of the control plane says why.", Status: http.StatusInternalServerError}
	}
	status := q.model.status(e)
	h := w.Header()
	h.Set("X-Amzn-Requestid", id)
	var body []byte
	switch q.Protocol {
	case Query:
		h.Set("Content-Type", "text/xml")
		space := "http://webservices.amazon.com/AWSFault/2005-15-09"
		if q.model != nil {
			space = q.model.Metadata.XMLNamespace
		}
		x := &answerXML{}
		fmt.Fprintf(&x.b, `<ErrorResponse xmlns="%s">`, space)
		x.open("Error")
		x.element("Type", fault(status))
		x.element("Code", e.Code)
		x.element("Message", e.Message)
		x.close("Error")
		x.element("RequestId", id)
		x.close("ErrorResponse")
		body = x.b.Bytes()
	case EC2:
		h.Set("Content-Type", "text/xml;charset=UTF-8")
		x := &answerXML{}
		x.b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
		x.open("Response")
		x.open("Errors")
		x.open("Error")
		x.element("Code", e.Code)
		x.element("Message", e.Message)
		x.close("Error")
		x.close("Errors")
		x.element("RequestID", id)
		x.close("Response")
		body = x.b.Bytes()
	case S3:
		h.Set("Content-Type", "application/xml")
		x := &answerXML{}
		x.b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
		x.open("Error")
		x.element("Code", e.Code)
		x.element("Message", e.Message)
		for _, name := range slices.Sorted(maps.Keys(e.Members)) {
			if text, ok := e.Members[name].(string); ok {
				x.element(name, text)
			}
		}
		x.element("RequestId", id)
		x.close("Error")
		body = x.b.Bytes()
	case CBOR:
		h.Set("Content-Type", "application/cbor")
		h.Set("Smithy-Protocol", string(CBOR))
		q.queryCode(h, e, status)
		body, _ = writeCBOR(q.failure(e)) // strings alone
	default:
		h.Set("Content-Type", "application/x-amz-json-"+orVersion(q.shown))
		if q.Protocol == REST {
			h.Set("Content-Type", "application/json")
			h.Set("X-Amzn-Errortype", e.Code)
		}
		q.queryCode(h, e, status)
		body, _ = json.Marshal(q.failure(e)) // members of the model's own shapes
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has left does not read why
}

func orVersion(v string) string {
	if v == "" {
		return "1.1"
	}
	return v
}

// queryCode tells clients of a service that once spoke query the code of then.
func (q *Request) queryCode(h http.Header, e *Error, status int) {
	if q.model == nil || !q.model.Metadata.QueryCompared {
		return
	}
	h.Set("X-Amzn-Query-Error", strings.NewReplacer("\r", "", "\n", "").Replace(e.Code)+";"+fault(status))
}

// failure is the body of an error of the JSON protocols.
func (q *Request) failure(e *Error) map[string]any {
	code, message := e.Code, "message"
	if q.model != nil {
		if s := q.model.byCode[e.Code]; s != nil {
			code = s.Name
			if _, ok := s.Members["Message"]; ok {
				message = "Message"
			}
		}
	}
	out := map[string]any{"__type": code, message: e.Message}
	for k, v := range e.Members {
		out[k] = v
	}
	return out
}
