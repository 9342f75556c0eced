package trigger

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"

	"showrunner/internal/standardwebhook"
)

// Providers of push events, as they appear in the address.
const (
	GitHub  = "github"
	GitLab  = "gitlab"
	Gitea   = "gitea"
	Forgejo = "forgejo"
	Generic = "generic"
)

var (
	errUnsigned  = errors.New("the delivery carries no signature")
	errSignature = errors.New("the signature does not match the secret")
	errTwice     = errors.New("a header of the signature is given twice")
)

// verify checks a delivery's signature over the received bytes. Comparisons take
// constant time.
func verify(provider string, h http.Header, secret string, body []byte, now time.Time) error {
	if secret == "" {
		return errSignature
	}
	switch provider {
	case GitHub:
		return hexSignature(h, secret, body, "sha256=", "X-Hub-Signature-256")
	case Gitea, Forgejo:
		for _, name := range []string{"X-Forgejo-Signature", "X-Gitea-Signature"} {
			if h.Get(name) != "" {
				return hexSignature(h, secret, body, "", name)
			}
		}
		return hexSignature(h, secret, body, "sha256=", "X-Hub-Signature-256")
	case GitLab:
		if standardwebhook.Present(h) {
			return standard(h, secret, body, now)
		}
		return token(h, secret)
	default:
		if standardwebhook.Present(h) {
			return standard(h, secret, body, now)
		}
		return hexSignature(h, secret, body, "sha256=", "X-Signature-256")
	}
}

func hexSignature(h http.Header, secret string, body []byte, prefix, header string) error {
	switch values := h.Values(header); {
	case len(values) == 0 || values[0] == "":
		return errUnsigned
	case len(values) > 1:
		return errTwice
	}
	encoded, ok := strings.CutPrefix(h.Get(header), prefix)
	got, err := hex.DecodeString(encoded)
	if !ok || err != nil {
		return errSignature
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	if !hmac.Equal(got, mac.Sum(nil)) {
		return errSignature
	}
	return nil
}

// token checks GitLab's older method: the header holds the secret itself. Digests
// are compared, so that the time taken does not show the secret's length.
func token(h http.Header, secret string) error {
	values := h.Values("X-Gitlab-Token")
	switch {
	case len(values) == 0 || values[0] == "":
		return errUnsigned
	case len(values) > 1:
		return errTwice
	}
	got, want := sha256.Sum256([]byte(values[0])), sha256.Sum256([]byte(secret))
	if !hmac.Equal(got[:], want[:]) {
		return errSignature
	}
	return nil
}

func standard(h http.Header, secret string, body []byte, now time.Time) error {
	if h.Get(standardwebhook.HeaderSignature) == "" {
		return errUnsigned
	}
	return standardwebhook.Verify(h, secret, body, now)
}
