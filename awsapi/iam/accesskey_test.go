package iam_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"showrunner/awsapi"
	"showrunner/awsapi/awstest"
	"showrunner/awsapi/iam"
	"showrunner/awsapi/sts"
	"showrunner/awsapi/wire"
	"showrunner/problem"
	"showrunner/store/record/recordtest"
)

// secrets is a secret store in memory.
type secrets struct{ kept sync.Map }

func (s *secrets) Set(_ context.Context, name string, value []byte) error {
	s.kept.Store(name, string(value))
	return nil
}

func (s *secrets) Resolve(_ context.Context, name string) (string, error) {
	v, ok := s.kept.Load(name)
	if !ok {
		return "", problem.New(problem.NotFound, "test", "no secret %s", name)
	}
	return v.(string), nil
}

func (s *secrets) Delete(_ context.Context, name string) error {
	if _, ok := s.kept.LoadAndDelete(name); !ok {
		return problem.New(problem.NotFound, "test", "no secret %s", name)
	}
	return nil
}

// A user's key signs requests, as that user, as long as it is there and active.
func TestAUsersKeySignsRequests(t *testing.T) {
	t.Parallel()
	records, values := &recordtest.Records{}, &secrets{}
	keys, err := awsapi.NewKeys("AKIATEST", "secret")
	if err != nil {
		t.Fatal(err)
	}
	keys.Users = func(key string) (awsapi.User, bool) {
		user, found, err := iam.FindKey(t.Context(), records, values, awsapi.Account, key)
		if err != nil {
			t.Error(err)
		}
		return awsapi.User(user), found
	}
	server, err := awsapi.New(awsapi.Config{Keys: keys, Regions: []string{"us-west-2"}, Log: slog.New(slog.DiscardHandler), Now: time.Now, Services: []wire.Service{iam.Service(records, values, time.Now), sts.Service(keys, time.Now)}})
	if err != nil {
		t.Fatal(err)
	}
	endpoint := httptest.NewServer(server)
	defer endpoint.Close()
	c := &client{t, server}
	signed := func(key, secret, service, version, operation string, form ...string) string {
		t.Helper()
		values := url.Values{"Action": {operation}, "Version": {version}}
		for n := 0; n < len(form); n += 2 {
			values.Set(form[n], form[n+1])
		}
		body := values.Encode()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint.URL+"/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		sum := sha256.Sum256([]byte(body))
		if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: key, SecretAccessKey: secret}, r, hex.EncodeToString(sum[:]), service, "us-west-2", time.Now()); err != nil {
			t.Fatal(err)
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
		return string(text)
	}
	user := c.call("CreateUser", object{"UserName": "ada", "Path": "/team/"})["User"].(map[string]any)["UserId"].(string)
	made := c.call("CreateAccessKey", object{"UserName": "ada"})["AccessKey"].(map[string]any)
	id, secret := made["AccessKeyId"].(string), made["SecretAccessKey"].(string)
	who := func(key, secret string) string {
		t.Helper()
		text := signed(key, secret, "sts", "2011-06-15", "GetCallerIdentity")
		return awstest.Between(text, "<Arn>", "</Arn>") + awstest.Between(text, "<Code>", "</Code>")
	}
	if got := who(id, secret); got != "arn:aws:iam::000000000000:user/team/ada" {
		t.Errorf("the key acts as %s", got)
	}
	if got := awstest.Between(signed(id, secret, "sts", "2011-06-15", "GetCallerIdentity"), "<UserId>", "</UserId>"); got != user {
		t.Errorf("the key is of %s, want %s", got, user)
	}
	if got := awstest.Between(signed(id, secret, "iam", "2010-05-08", "GetUser"), "<UserName>", "</UserName>"); got != "ada" {
		t.Errorf("the caller is %q", got)
	}
	if got := who(id, secret+"x"); got != "SignatureDoesNotMatch" {
		t.Errorf("another secret: %s", got)
	}
	second := awstest.Between(signed(id, secret, "iam", "2010-05-08", "CreateAccessKey"), "<AccessKeyId>", "</AccessKeyId>") // of the caller
	c.refused("CreateAccessKey", object{"UserName": "ada"}, "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2")
	c.refused("DeleteUser", object{"UserName": "ada"}, "DeleteConflict", "Cannot delete entity, must delete access keys first.")
	c.call("UpdateAccessKey", object{"UserName": "ada", "AccessKeyId": id, "Status": "Inactive"})
	if got := who(id, secret); got != "InvalidClientTokenId" {
		t.Errorf("an inactive key: %s", got)
	}
	c.call("UpdateAccessKey", object{"UserName": "ada", "AccessKeyId": id, "Status": "Active"})
	c.call("UpdateUser", object{"UserName": "ada", "NewUserName": "grace"})
	if got := who(id, secret); got != "arn:aws:iam::000000000000:user/team/grace" {
		t.Errorf("once the user has another name the key acts as %s", got)
	}
	if list := c.call("ListAccessKeys", object{"UserName": "grace"})["AccessKeyMetadata"].([]any); len(list) != 2 {
		t.Errorf("%v", list)
	}
	for _, key := range []string{id, second} {
		c.call("DeleteAccessKey", object{"UserName": "grace", "AccessKeyId": key})
	}
	c.refused("DeleteAccessKey", object{"UserName": "grace", "AccessKeyId": id}, "NoSuchEntity", "The Access Key with id "+id+" cannot be found.")
	if got := who(id, secret); got != "InvalidClientTokenId" {
		t.Errorf("a deleted key: %s", got)
	}
	values.kept.Range(func(name, _ any) bool { t.Errorf("the secret %v is left", name); return true })
	c.call("DeleteUser", object{"UserName": "grace"})
}
