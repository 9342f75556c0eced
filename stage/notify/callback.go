package notify

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"showrunner/problem"
	"showrunner/stage"
	"showrunner/store/record"
)

// CallbackPath is where Callbacks is mounted.
const CallbackPath = "/hooks/callback/"

// Signaler sends a message to a stage.
type Signaler interface {
	Signal(ctx context.Context, id, stageName string, s stage.Signal) error
}

// Records keeps the key that authenticates callbacks.
type Records interface {
	GetRecord(ctx context.Context, collection, key string) (record.Record, error)
	PutRecord(ctx context.Context, r record.Record, events ...record.Event) (record.Record, error)
}

// Callbacks makes the addresses that other systems call back to, and receives the
// calls. An address holds a token that only this control plane can make and that
// is valid for one attempt of one stage. Whoever has the token can end that
// stage's wait, so it is passed to the other side and stored nowhere. A second
// callback does nothing.
type Callbacks struct {
	Engine Signaler
	// Public is the address of the control plane that other systems use, such as
	// "https://deploy.example.com".
	Public string
	Now    func() time.Time

	key []byte
}

// OpenCallbacks loads the key, or makes it once for all replicas.
func OpenCallbacks(ctx context.Context, records Records, engine Signaler, public string, now func() time.Time) (*Callbacks, error) {
	const op, collection, name = "callback.open", "keys", "callback"
	for {
		r, err := records.GetRecord(ctx, collection, name)
		if err == nil {
			var key []byte
			if err := json.Unmarshal(r.Data, &key); err != nil || len(key) < 32 {
				return nil, problem.New(problem.Internal, op, "the stored key for callbacks is damaged")
			}
			return &Callbacks{Engine: engine, Public: strings.TrimSuffix(public, "/"), Now: now, key: key}, nil
		}
		if problem.CodeOf(err) != problem.NotFound {
			return nil, problem.Wrap(err, "", op, "reading the key for callbacks")
		}
		key := make([]byte, 32)
		rand.Read(key) //nolint:errcheck // it does not fail
		data, err := json.Marshal(key)
		if err != nil {
			return nil, problem.Wrap(err, problem.Internal, op, "making the key for callbacks")
		}
		_, err = records.PutRecord(ctx, record.Record{Collection: collection, Key: name, Data: data})
		if err != nil && problem.CodeOf(err) != problem.Conflict {
			return nil, problem.Wrap(err, "", op, "keeping the key for callbacks")
		}
	}
}

// URL is the callback address of one attempt of a stage.
func (c *Callbacks) URL(k stage.Key) string {
	return c.Public + CallbackPath + url.PathEscape(k.Execution) + "/" + url.PathEscape(k.Stage) + "/" + strconv.Itoa(k.Attempt) + "/" + c.token(k)
}

func (c *Callbacks) token(k stage.Key) string {
	return base64.RawURLEncoding.EncodeToString(c.sum("token", k))
}

// signalID makes every callback to one address the same signal; it does not
// reveal the token.
func (c *Callbacks) signalID(k stage.Key) string {
	return "callback/" + base64.RawURLEncoding.EncodeToString(c.sum("signal", k)[:16])
}

func (c *Callbacks) sum(use string, k stage.Key) []byte {
	mac := hmac.New(sha256.New, c.key)
	// A name cannot hold a NUL, so different keys never give the same text.
	mac.Write([]byte(strings.Join([]string{use, k.Execution, k.Stage, strconv.Itoa(k.Attempt)}, "\x00")))
	return mac.Sum(nil)
}

// ServeHTTP receives a callback: POST, a JSON body or none, at most 1 MiB.
// Answers: 202 accepted (also for a repeated callback), 400, 404 for an unknown
// address, 409 when the stage no longer waits, 413, 503.
func (c *Callbacks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		reply(w, http.StatusMethodNotAllowed, "use POST for the callback")
		return
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), CallbackPath), "/")
	key, ok := c.parse(parts)
	if !ok {
		reply(w, http.StatusNotFound, "this is no callback address")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAnswer))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		reply(w, http.StatusRequestEntityTooLarge, "the body of a callback has at most 1 MiB")
		return
	case err != nil:
		reply(w, http.StatusBadRequest, "the body could not be read")
		return
	case len(body) == 0:
		body = []byte("null")
	}
	var doc any
	if err := decode(body, &doc); err != nil {
		reply(w, http.StatusBadRequest, "the body is not JSON")
		return
	}
	err = c.Engine.Signal(r.Context(), key.Execution, key.Stage, stage.Signal{
		ID: c.signalID(key), Name: signalCallback, By: "callback", At: c.Now().UTC(), Data: body})
	switch problem.CodeOf(err) {
	case "":
		reply(w, http.StatusAccepted, "taken")
	case problem.NotFound:
		reply(w, http.StatusNotFound, "the execution no longer exists")
	case problem.Precondition, problem.Conflict:
		reply(w, http.StatusConflict, "the stage no longer waits for a callback")
	default:
		reply(w, http.StatusServiceUnavailable, "try again later")
	}
}

// parse parses an address; it compares the token in constant time.
func (c *Callbacks) parse(parts []string) (stage.Key, bool) {
	if len(parts) != 4 {
		return stage.Key{}, false
	}
	id, err1 := url.PathUnescape(parts[0])
	name, err2 := url.PathUnescape(parts[1])
	attempt, err3 := strconv.Atoi(parts[2])
	if err := errors.Join(err1, err2, err3); err != nil || id == "" || name == "" {
		return stage.Key{}, false
	}
	key := stage.Key{Execution: id, Stage: name, Attempt: attempt, Task: "call"}
	return key, hmac.Equal([]byte(parts[3]), []byte(c.token(key)))
}

func reply(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// The caller has closed the connection when this fails.
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message})
}
