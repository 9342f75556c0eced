package awsapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"showrunner/awsapi/signature"
	"showrunner/awsapi/sts"
	"showrunner/awsapi/wire"
)

type none struct{}

// endpoint is a server over sts and one operation that panics.
func endpoint(t *testing.T, told func(string)) (*httptest.Server, *Keys) {
	t.Helper()
	keys, err := NewKeys("AKIAOWNER", "secret")
	if err != nil {
		t.Fatal(err)
	}
	server, err := New(Config{
		Keys: keys, Regions: []string{"us-west-2"}, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Services: []wire.Service{
			sts.Service(keys, time.Now),
			{Name: "kinesis", Operations: map[string]wire.Handler{
				"DescribeLimits": wire.Handle(func(context.Context, *wire.Call, *none) (*none, error) { panic("no") }),
				"DeleteStream": wire.Handle(func(context.Context, *wire.Call, *none) (*none, error) {
					return nil, wire.Errorf("ResourceNotFoundException", "no such stream")
				}),
			}},
		},
		Perform: func(_ context.Context, c *wire.Call, service, operation string, act func() error) error {
			if told == nil {
				return errors.New("the log is full")
			}
			err := act()
			told(service + "." + operation + " by " + c.Caller + ": " + wire.CodeOf(err))
			return err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(server)
	t.Cleanup(s.Close)
	return s, keys
}

// ask sends a signed request and returns status and body.
func ask(t *testing.T, s *httptest.Server, c signature.Credentials, service string, header http.Header, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header.Clone()
	if c.Key != "" {
		sum := sha256.Sum256([]byte(body))
		err = v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: c.Key, SecretAccessKey: c.Secret, SessionToken: c.Token}, r, hex.EncodeToString(sum[:]), service, "us-west-2", time.Now())
		if err != nil {
			t.Fatal(err)
		}
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

var (
	owner = signature.Credentials{Key: "AKIAOWNER", Secret: "secret"}
	form  = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
)

func target(name string) http.Header {
	return http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {name}}
}

func TestSessionsAreKnownToEveryReplica(t *testing.T) {
	t.Parallel()
	first, keys := endpoint(t, nil)
	second, _ := endpoint(t, nil)
	made, err := keys.NewSession("arn:aws:sts::"+Account+":assumed-role/r/s", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*httptest.Server{first, second} {
		if status, body := ask(t, s, made, "sts", form, "Action=GetCallerIdentity&Version=2011-06-15"); status != 200 || !strings.Contains(body, "assumed-role/r/s") {
			t.Errorf("%d %s", status, body)
		}
	}
	forged := made
	forged.Token = made.Token[:len(made.Token)-8] + "AAAAAAAA"
	if status, body := ask(t, first, forged, "sts", form, "Action=GetCallerIdentity&Version=2011-06-15"); status != 403 {
		t.Errorf("a forged token: %d %s", status, body)
	}
}

func TestWhatIsRefusedSaysWhyInTheClientsForm(t *testing.T) {
	t.Parallel()
	s, _ := endpoint(t, func(string) {})
	for name, c := range map[string]struct {
		who     signature.Credentials
		service string
		header  http.Header
		body    string
		status  int
		want    string
	}{
		"unsigned":          {signature.Credentials{}, "", form, "Action=GetCallerIdentity", 403, "<Code>MissingAuthenticationToken</Code>"},
		"unsigned, JSON":    {signature.Credentials{}, "", target("Kinesis_20131202.DeleteStream"), "{}", 403, `"__type":"MissingAuthenticationToken"`},
		"unknown action":    {owner, "sts", form, "Action=Nonsense", 400, "<Code>InvalidAction</Code>"},
		"unknown target":    {owner, "x", target("Nonsense.Nonsense"), "{}", 400, `"__type":"UnknownOperationException"`},
		"not served":        {owner, "kinesis", target("Kinesis_20131202.ListStreams"), "{}", 400, "ListStreams"},
		"another scope":     {owner, "s3", target("Kinesis_20131202.DeleteStream"), `{"StreamName":"s"}`, 403, "Credential should be scoped to correct service"},
		"too long":          {owner, "kinesis", target("Kinesis_20131202.DeleteStream"), strings.Repeat(" ", 17<<20), 413, "RequestEntityTooLargeException"},
		"a required member": {owner, "sts", form, "Action=AssumeRole", 400, "2 validation errors detected: Value null at 'roleArn'"},
		"not JSON":          {owner, "kinesis", target("Kinesis_20131202.DeleteStream"), "{", 400, "SerializationException"},
		"a panic":           {owner, "kinesis", target("Kinesis_20131202.DescribeLimits"), "{}", 500, "InternalFailure"},
		"the service's own": {owner, "kinesis", target("Kinesis_20131202.DeleteStream"), "{}", 400, "ResourceNotFoundException"},
	} {
		status, body := ask(t, s, c.who, c.service, c.header, c.body)
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}

func TestARegionThatIsNotThereIsNamed(t *testing.T) {
	t.Parallel()
	server, err := New(Config{Keys: mustKeys(t), Regions: []string{"eu-west-1"}, Log: slog.New(slog.DiscardHandler), Now: time.Now, Services: []wire.Service{{Name: "kinesis", Operations: map[string]wire.Handler{
		"DescribeLimits": wire.Handle(func(context.Context, *wire.Call, *none) (*none, error) { return &none{}, nil })}}}})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(server)
	t.Cleanup(s.Close)
	if status, body := ask(t, s, owner, "kinesis", target("Kinesis_20131202.DescribeLimits"), "{}"); status != 400 || !strings.Contains(body, "no local region us-west-2") {
		t.Errorf("%d %s", status, body)
	}
}

func mustKeys(t *testing.T) *Keys {
	t.Helper()
	keys, err := NewKeys("AKIAOWNER", "secret")
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestChangesAreRecordedOrRefused(t *testing.T) {
	t.Parallel()
	var told bytes.Buffer
	s, _ := endpoint(t, func(text string) { told.WriteString(text + "\n") })
	ask(t, s, owner, "kinesis", target("Kinesis_20131202.DeleteStream"), "{}")
	ask(t, s, owner, "sts", form, "Action=GetCallerIdentity&Version=2011-06-15")
	if got, want := told.String(), "kinesis.DeleteStream by arn:aws:iam::000000000000:root: ResourceNotFoundException\n"; got != want {
		t.Errorf("recorded %q, want %q", got, want)
	}
	refusing, _ := endpoint(t, nil)
	if status, body := ask(t, refusing, owner, "kinesis", target("Kinesis_20131202.DeleteStream"), "{}"); status != 500 || strings.Contains(body, "the log is full") {
		t.Errorf("what cannot be recorded: %d %s", status, body)
	}
}
