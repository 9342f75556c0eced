package signature

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"showrunner/awsapi/wire"
)

var (
	now   = time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)
	owner = Credentials{Key: "AKIDEXAMPLE", Secret: "secret", Caller: "arn:aws:iam::000000000000:root"}
	guest = Credentials{Key: "ASIAEXAMPLE", Secret: "other", Token: "token", Until: now.Add(time.Hour)}
)

func find(key, _ string) (Credentials, bool) {
	for _, c := range []Credentials{owner, guest} {
		if c.Key == key {
			return c, true
		}
	}
	return Credentials{}, false
}

// signed is a request as the Go SDK signs it.
func signed(t *testing.T, c Credentials, service, method, target string, body []byte, at time.Time) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:4566"+target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(body)
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" })
	if err := signer.SignHTTP(t.Context(), aws.Credentials{AccessKeyID: c.Key, SecretAccessKey: c.Secret, SessionToken: c.Token}, r, hex.EncodeToString(sum[:]), service, "us-east-1", at); err != nil {
		t.Fatal(err)
	}
	return received(t, r)
}

// received is a request as a server sees it.
func received(t *testing.T, r *http.Request) *http.Request {
	t.Helper()
	in := httptest.NewRequest(r.Method, r.URL.RequestURI(), nil)
	in.Host, in.Header, in.ContentLength = "127.0.0.1:4566", r.Header.Clone(), r.ContentLength
	return in
}

func code(err error) string {
	var e *wire.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestSignaturesOfTheSDKAreAccepted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ service, method, target, body string }{
		{"ec2", "POST", "/", "Action=DescribeInstances"},
		{"lambda", "POST", "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A1%3Afunction%3Af/invocations?Qualifier=a%20b&Qualifier=a", `{"x":1}`},
		{"s3", "PUT", "/bucket/a%20b%2Bc/%C3%A9.txt?x=%2F&empty=&empty", "content"},
		{"s3", "GET", "/", ""},
		{"monitoring", "POST", "/service/GraniteServiceVersion20100801/operation/PutMetricData", "\xa1"},
	} {
		for _, who := range []Credentials{owner, guest} {
			s, err := Verify(signed(t, who, c.service, c.method, c.target, []byte(c.body), now), []byte(c.body), now.Add(time.Minute), find)
			if err != nil {
				t.Errorf("%s %s by %s: %v", c.service, c.target, who.Key, err)
			} else if s.Key != who.Key || s.Region != "us-east-1" || s.Service != c.service {
				t.Errorf("%s: scope %+v", c.target, s)
			}
		}
	}
}

func TestPresignedURLs(t *testing.T) {
	t.Parallel()
	make := func(who Credentials, expires string) *http.Request {
		r := httptest.NewRequest("GET", "http://127.0.0.1:4566/bucket/a%20key?X-Amz-Expires="+expires, nil)
		signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
		link, _, err := signer.PresignHTTP(t.Context(), aws.Credentials{AccessKeyID: who.Key, SecretAccessKey: who.Secret, SessionToken: who.Token}, r, "UNSIGNED-PAYLOAD", "s3", "us-east-1", now)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(link)
		if err != nil {
			t.Fatal(err)
		}
		in := httptest.NewRequest("GET", u.RequestURI(), nil)
		in.Host = "127.0.0.1:4566"
		return in
	}
	for _, who := range []Credentials{owner, guest} {
		if _, err := Verify(make(who, "600"), nil, now.Add(9*time.Minute), find); err != nil {
			t.Errorf("%s: %v", who.Key, err)
		}
	}
	if _, err := Verify(make(owner, "600"), nil, now.Add(11*time.Minute), find); code(err) != "AccessDenied" {
		t.Errorf("after its end: %v", err)
	}
	for _, bad := range []string{"604801", "0", "-1", "x"} {
		if _, err := Verify(make(owner, bad), nil, now, find); code(err) != "AuthorizationQueryParametersError" {
			t.Errorf("for %s seconds: %v", bad, err)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	body := []byte("Action=DescribeInstances")
	good := func() *http.Request { return signed(t, owner, "ec2", "POST", "/", body, now) }
	for name, c := range map[string]struct {
		request *http.Request
		body    []byte
		at      time.Time
		want    string
	}{
		"unsigned":         {received(t, httptest.NewRequest("POST", "/", nil)), body, now, "MissingAuthenticationToken"},
		"another body":     {good(), []byte("Action=TerminateInstances"), now, "SignatureDoesNotMatch"},
		"a foreign key":    {signed(t, Credentials{Key: "AKIDOTHER", Secret: "x"}, "ec2", "POST", "/", body, now), body, now, "InvalidClientTokenId"},
		"a wrong secret":   {signed(t, Credentials{Key: owner.Key, Secret: "x"}, "ec2", "POST", "/", body, now), body, now, "SignatureDoesNotMatch"},
		"16 minutes later": {good(), body, now.Add(16 * time.Minute), "SignatureDoesNotMatch"},
		"16 minutes early": {good(), body, now.Add(-16 * time.Minute), "SignatureDoesNotMatch"},
		"no token":         {signed(t, Credentials{Key: guest.Key, Secret: guest.Secret}, "ec2", "POST", "/", body, now), body, now, "InvalidClientTokenId"},
		"an ended session": {signed(t, guest, "ec2", "POST", "/", body, now.Add(2*time.Hour)), body, now.Add(2 * time.Hour), "ExpiredToken"},
		"a foreign host":   {change(good(), func(r *http.Request) { r.Host = "evil.example" }), body, now, "AccessDenied"},
		"another header":   {change(good(), func(r *http.Request) { r.Header.Set("X-Amz-Date", "20261130T100001Z") }), body, now, "SignatureDoesNotMatch"},
		"another path":     {change(good(), func(r *http.Request) { r.URL.Path = "/x" }), body, now, "SignatureDoesNotMatch"},
		"version 2":        {change(good(), func(r *http.Request) { r.Header.Set("Authorization", "AWS AKIDEXAMPLE:abc") }), body, now, "InvalidRequest"},
		"half a header":    {change(good(), func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=a/b") }), body, now, "IncompleteSignature"},
		"an unsigned body": {change(good(), func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD") }), body, now, "SignatureDoesNotMatch"},
		"no signed host": {change(good(), func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "host;", "", 1))
		}), body, now, "SignatureDoesNotMatch"},
	} {
		if _, err := Verify(c.request, c.body, c.at, find); code(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func change(r *http.Request, how func(*http.Request)) *http.Request {
	how(r)
	return r
}

// FuzzVerify: nothing that is not signed gets in, and nothing ends the process.
func FuzzVerify(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261130/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=00", "/?a=b", "20261130T100000Z")
	f.Fuzz(func(t *testing.T, authorization, target, date string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		r := &http.Request{Method: "GET", URL: u, Host: "127.0.0.1", Header: http.Header{"Authorization": {authorization}, "X-Amz-Date": {date}}}
		if _, err := Verify(r, nil, now, find); err == nil {
			t.Errorf("%q was accepted", authorization)
		}
	})
}

// A header of AWS's that the signature does not cover is not believed: whoever
// carries the request could have changed it.
func TestHeadersOfAWSAreSigned(t *testing.T) {
	t.Parallel()
	body := []byte(`{"Name":"a"}`)
	r := signed(t, owner, "ssm", "POST", "/", body, now)
	if _, err := Verify(r, body, now, find); err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "AmazonSSM.DeleteParameter")
	if _, err := Verify(r, body, now, find); code(err) != "AccessDenied" {
		t.Errorf("a target that is not signed: %v", err)
	}
}

// Over HTTP/2 the SDK for JavaScript signs :authority in the place of the host.
func TestTheHostOfHTTP2IsSignedAsAuthority(t *testing.T) {
	t.Parallel()
	body := []byte(`{"StreamName":"s"}`)
	r := signed(t, owner, "kinesis", "POST", "/", body, now)
	sum := sha256.Sum256(body)
	c := claim{key: owner.Key, date: now.Format("20060102"), region: "us-east-1", service: "kinesis", at: now, headers: []string{":authority", "x-amz-date"}}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+owner.Key+"/"+c.date+"/us-east-1/kinesis/aws4_request, SignedHeaders=:authority;x-amz-date, Signature="+c.sign(owner.Secret, canonical(r, c, hex.EncodeToString(sum[:]))))
	if _, err := Verify(r, body, now, find); code(err) != "SignatureDoesNotMatch" {
		t.Errorf("over HTTP/1: %v", err)
	}
	r.ProtoMajor = 2
	if _, err := Verify(r, body, now, find); err != nil {
		t.Error(err)
	}
	r.Host = "127.0.0.1:9"
	if _, err := Verify(r, body, now, find); code(err) != "SignatureDoesNotMatch" {
		t.Errorf("another host: %v", err)
	}
}
