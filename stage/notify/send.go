package notify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"showrunner/stage"
)

// answer is the response to a call.
type answer struct {
	status     int
	body       []byte
	cut        bool // the body was longer than maxAnswer
	location   string
	retryAfter time.Duration
}

// send makes the call. Its error never holds the address.
func (w Webhook) send(m message) (answer, error) {
	resp, err := w.Client.Do(m.request)
	if err != nil {
		return answer{}, fmt.Errorf("%s: %w", m.shownAddress, withoutAddress(err))
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, location: resp.Header.Get("Location"), retryAfter: retryAfter(resp)}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return answer{}, fmt.Errorf("%s: reading the answer: %w", m.shownAddress, withoutAddress(err))
	}
	if len(a.body) > maxAnswer {
		a.body, a.cut = a.body[:maxAnswer], true
	}
	return a, nil
}

// withoutAddress is an error without the address that net/http adds.
func withoutAddress(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// retryAfter reads Retry-After, in seconds or as a date by the receiver's clock.
func retryAfter(resp *http.Response) time.Duration {
	value := resp.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil {
		return max(0, min(time.Duration(seconds), maxPause/time.Second)) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return 0
	}
	return max(0, at.Sub(now))
}

// extract sets the outputs that JSON pointers name in a body.
func extract(outputs map[string]any, pointers map[string]string, body []byte, cut bool) *stage.Failure {
	if len(pointers) == 0 {
		return nil
	}
	if cut {
		return &stage.Failure{Code: "WEBHOOK_ANSWER", Cause: fmt.Sprintf("the answer has more than %d bytes, so outputs cannot be read from it", maxAnswer),
			Help: "have the receiver send a shorter answer"}
	}
	var doc any
	if err := decode(body, &doc); err != nil {
		return &stage.Failure{Code: "WEBHOOK_ANSWER", Cause: "outputs are read from the answer, but it is not JSON", Evidence: []string{err.Error()},
			Help: "have the receiver answer with JSON, or leave out outputs"}
	}
	for name, pointer := range pointers {
		value, ok := follow(doc, pointer)
		if !ok {
			return &stage.Failure{Code: "WEBHOOK_ANSWER", Cause: fmt.Sprintf("the answer has nothing at %q, which the output %s is taken from", pointer, name),
				Help: "compare the pointer with the answer"}
		}
		outputs[name] = value
	}
	return nil
}

func decode(body []byte, doc *any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(doc); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON value")
	}
	return nil
}

var unescape = strings.NewReplacer("~1", "/", "~0", "~")

// follow evaluates a JSON pointer (RFC 6901).
func follow(doc any, pointer string) (any, bool) {
	if pointer == "" {
		return doc, true
	}
	if !strings.HasPrefix(pointer, "/") {
		return nil, false
	}
	for token := range strings.SplitSeq(pointer[1:], "/") {
		switch at := doc.(type) {
		case map[string]any:
			value, ok := at[unescape.Replace(token)]
			if !ok {
				return nil, false
			}
			doc = value
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(at) || strconv.Itoa(i) != token {
				return nil, false
			}
			doc = at[i]
		default:
			return nil, false
		}
	}
	return doc, true
}
