package trigger

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"showrunner/internal/standardwebhook"
	"showrunner/problem"
	"showrunner/store/record"
)

// A signature does not say which address it is for. Where several webhooks share a
// secret, a delivery to one could be sent again to another, also one that a forge has
// signed to a generic webhook, and start what its sender did not mean. So a signature
// belongs to whoever received it first. The addresses of forges count as one: forges
// send equal deliveries to each, and a push starts each pipeline once.

// signatures is the collection of who has received which signature.
const signatures = "webhook-signature"

// signaturesKept is how long that is remembered, as it is which events have started
// something.
const signaturesKept = 30 * 24 * time.Hour

// forges is the receiver that all addresses of forges are.
const forges = "forges"

// boundSignature is who has received a signature.
type boundSignature struct {
	Receiver string `json:"receiver"`
}

// bind gives signatures to their receiver. Its error is a refusal when another receiver
// has one of them.
func (h *Hooks) bind(ctx context.Context, keys []string, receiver string) error {
	data, err := json.Marshal(boundSignature{receiver})
	if err != nil {
		return problem.Wrap(err, problem.Internal, "trigger.bind", "encoding")
	}
	for _, key := range keys {
		_, err := h.o.Records.PutRecord(ctx, record.Record{Collection: signatures, Key: key, Data: data})
		if problem.CodeOf(err) == problem.Conflict {
			err = h.boundTo(ctx, key, receiver)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// boundTo refuses a signature that another receiver has.
func (h *Hooks) boundTo(ctx context.Context, key, receiver string) error {
	r, err := h.o.Records.GetRecord(ctx, signatures, key)
	if err != nil { // removed meanwhile, or the database is unreachable
		return problem.Wrap(err, problem.Unavailable, "trigger.bind", "who has received the signature")
	}
	var b boundSignature
	if err := json.Unmarshal(r.Data, &b); err != nil {
		return problem.Wrap(err, problem.Internal, "trigger.bind", "the record %s", key)
	}
	if b.Receiver != receiver {
		return refuse(http.StatusConflict, "another webhook has received this signed delivery; give each webhook a secret of its own, or sign what tells the deliveries apart")
	}
	return nil
}

// signatureKey is the same for all deliveries that are signed alike with a secret,
// whatever header carries the signature. It is no signature itself. GitLab's token signs
// nothing: then it is empty.
func signatureKey(provider string, header http.Header, secret string, body []byte) string {
	sum := hmac.New(sha256.New, []byte(secret))
	switch {
	case standardwebhook.Present(header):
		fmt.Fprintf(sum, "who received %q of %q\n", header.Get(standardwebhook.HeaderID), header.Get(standardwebhook.HeaderTimestamp))
	case provider == GitLab:
		return ""
	default:
		fmt.Fprintln(sum, "who received")
	}
	sum.Write(body)
	return hex.EncodeToString(sum.Sum(nil))
}

// forgetSignatures removes who has received which signature once it is old.
func (h *Hooks) forgetSignatures(ctx context.Context) error {
	before := h.o.Now().Add(-signaturesKept)
	for after := ""; ; {
		list, err := h.o.Records.ListRecords(ctx, signatures, "", after, 500)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, r := range list {
			after = r.Key
			if !r.Updated.Before(before) {
				continue
			}
			err := h.o.Records.DeleteRecord(ctx, signatures, r.Key, r.Version)
			if code := problem.CodeOf(err); err != nil && code != problem.NotFound && code != problem.Conflict {
				return err
			}
		}
	}
}
