// Package standardwebhook signs and verifies messages by the Standard Webhooks
// specification (https://www.standardwebhooks.com): the signature is the base64
// of an HMAC-SHA256 over "id.timestamp.body", prefixed with "v1,".
package standardwebhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Headers of a message.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

// Tolerance is how far a timestamp may be from the present.
const Tolerance = 5 * time.Minute

const (
	version      = "v1,"
	secretPrefix = "whsec_"
)

// The errors of a refused message.
var (
	ErrIncomplete = errors.New("webhook-id, webhook-timestamp or webhook-signature is missing or given twice")
	ErrTimestamp  = errors.New("webhook-timestamp is not a number of seconds")
	ErrSkew       = errors.New("webhook-timestamp is more than five minutes from now")
	ErrSignature  = errors.New("no signature matches")
)

// Sign sets the three headers for a message.
func Sign(h http.Header, secret, id string, at time.Time, body []byte) {
	stamp := strconv.FormatInt(at.Unix(), 10)
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, stamp)
	h.Set(HeaderSignature, version+base64.StdEncoding.EncodeToString(sum(secret, id, stamp, body)))
}

// Present tells whether any of the headers is set.
func Present(h http.Header) bool {
	return len(h[HeaderID])+len(h[HeaderTimestamp])+len(h[HeaderSignature]) > 0
}

// Verify checks a message's signature and then its age.
func Verify(h http.Header, secret string, body []byte, now time.Time) error {
	if len(h[HeaderID]) != 1 || len(h[HeaderTimestamp]) != 1 || len(h[HeaderSignature]) != 1 {
		return ErrIncomplete
	}
	id, stamp := h.Get(HeaderID), h.Get(HeaderTimestamp)
	if id == "" || len(id) > 256 {
		return ErrIncomplete
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return ErrTimestamp
	}
	want := sum(secret, id, stamp, body)
	matched := false
	for _, sig := range strings.Fields(h.Get(HeaderSignature)) {
		encoded, ok := strings.CutPrefix(sig, version)
		if !ok {
			continue // an unknown version, or an asymmetric key
		}
		if got, err := base64.StdEncoding.DecodeString(encoded); err == nil && hmac.Equal(got, want) {
			matched = true
		}
	}
	if !matched {
		return ErrSignature
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > Tolerance || age < -Tolerance {
		return ErrSkew
	}
	return nil
}

// sum is the HMAC. A secret that begins with "whsec_" is the base64 of the key,
// any other secret is the key itself.
func sum(secret, id, stamp string, body []byte) []byte {
	key := []byte(secret)
	if encoded, ok := strings.CutPrefix(secret, secretPrefix); ok {
		if decoded, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			key = decoded
		}
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + stamp + "."))
	mac.Write(body)
	return mac.Sum(nil)
}
