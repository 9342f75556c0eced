package standardwebhook

import (
	"errors"
	"net/http"
	"testing"
	"time"
)

// The example of the specification's reference implementation.
func TestVerifyReference(t *testing.T) {
	h := http.Header{}
	h.Set(HeaderID, "msg_p5jXN8AQM9LWM0D4loKWxJek")
	h.Set(HeaderTimestamp, "1614265330")
	h.Set(HeaderSignature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	err := Verify(h, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", []byte(`{"test": 2432232314}`), time.Unix(1614265330, 0))
	if err != nil {
		t.Error(err)
	}
}

func TestVerify(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	signed := func() http.Header {
		h := http.Header{}
		Sign(h, "key", "id", now, []byte("body"))
		return h
	}
	for name, tt := range map[string]struct {
		change func(http.Header)
		body   string
		at     time.Time
		want   error
	}{
		"fine":              {func(http.Header) {}, "body", now, nil},
		"at the edge":       {func(http.Header) {}, "body", now.Add(Tolerance), nil},
		"old":               {func(http.Header) {}, "body", now.Add(Tolerance + time.Second), ErrSkew},
		"from the future":   {func(http.Header) {}, "body", now.Add(-Tolerance - time.Second), ErrSkew},
		"another body":      {func(http.Header) {}, "body2", now, ErrSignature},
		"another id":        {func(h http.Header) { h.Set(HeaderID, "id2") }, "body", now, ErrSignature},
		"another time":      {func(h http.Header) { h.Set(HeaderTimestamp, "1800000001") }, "body", now, ErrSignature},
		"no time":           {func(h http.Header) { h.Set(HeaderTimestamp, "now") }, "body", now, ErrTimestamp},
		"no id":             {func(h http.Header) { h.Del(HeaderID) }, "body", now, ErrIncomplete},
		"two signatures":    {func(h http.Header) { h.Add(HeaderSignature, "v1,x") }, "body", now, ErrIncomplete},
		"one of several":    {func(h http.Header) { h.Set(HeaderSignature, "v1a,zz v1,AAAA "+h.Get(HeaderSignature)) }, "body", now, nil},
		"no known version":  {func(h http.Header) { h.Set(HeaderSignature, "v2"+h.Get(HeaderSignature)[2:]) }, "body", now, ErrSignature},
		"an empty one":      {func(h http.Header) { h.Set(HeaderSignature, "v1,") }, "body", now, ErrSignature},
		"swapped separator": {func(h http.Header) { h.Set(HeaderID, "id.1800000000"); h.Set(HeaderTimestamp, "0") }, "body", now, ErrSignature},
	} {
		h := signed()
		tt.change(h)
		if err := Verify(h, "key", []byte(tt.body), tt.at); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}
