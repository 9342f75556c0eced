package secretsmanager_test

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"showrunner/awsapi/awstest"
	"showrunner/awsapi/secretsmanager"
	"showrunner/secret"
	"showrunner/store/record/recordtest"
)

type object = map[string]any

// values is the secret store without its events.
type values struct{ *secret.Store }

func (v values) Set(ctx context.Context, name string, value []byte) error {
	return v.Store.Set(ctx, name, value)
}
func (v values) Delete(ctx context.Context, name string) error { return v.Store.Delete(ctx, name) }

type client struct {
	*awstest.Client
	t     *testing.T
	later atomic.Int64 // how much later it is, in nanoseconds
	store *secret.Store
}

func open(t *testing.T) *client {
	t.Helper()
	records := &recordtest.Records{}
	c := &client{t: t, store: secret.New(records, secret.Options{KeyFile: filepath.Join(t.TempDir(), "key")})}
	c.Client = awstest.New(t, secretsmanager.New(records, values{c.store}, nil, func() time.Time { return time.Now().Add(time.Duration(c.later.Load())) }).Service())
	return c
}

const service = "secretsmanager"

func (c *client) call(operation string, in object) object {
	c.t.Helper()
	return c.Call(service, operation, in)
}

func (c *client) refused(operation string, in object, code, message string) {
	c.t.Helper()
	c.Refused(service, operation, in, code, message)
}

// versionToken is a valid token: 32 characters at least.
func versionToken(n int) string { return fmt.Sprintf("00000000-0000-0000-0000-%012d", n) }

func (c *client) create(name, text string, n int) string {
	c.t.Helper()
	return c.call("CreateSecret", object{"Name": name, "SecretString": text, "ClientRequestToken": versionToken(n)})["ARN"].(string)
}

// stages are the versions by their stages.
func (c *client) stages(id string) object {
	c.t.Helper()
	got, _ := c.call("DescribeSecret", object{"SecretId": id})["VersionIdsToStages"].(object)
	return got
}

func TestVersionsAndStages(t *testing.T) {
	t.Parallel()
	c := open(t)
	arn := c.create("prod/db", "v1", 1)
	if !strings.HasPrefix(arn, "arn:aws:secretsmanager:us-west-2:000000000000:secret:prod/db-") || len(arn) != len("arn:aws:secretsmanager:us-west-2:000000000000:secret:prod/db-")+6 {
		t.Errorf("the ARN is %s", arn)
	}
	c.call("PutSecretValue", object{"SecretId": arn, "SecretString": "v2", "ClientRequestToken": versionToken(2)})
	if got := c.stages("prod/db"); !reflect.DeepEqual(got, object{versionToken(1): []any{"AWSPREVIOUS"}, versionToken(2): []any{"AWSCURRENT"}}) {
		t.Errorf("stages %v", got)
	}
	put := c.call("PutSecretValue", object{"SecretId": "prod/db", "SecretString": "v3", "ClientRequestToken": versionToken(3), "VersionStages": []string{"one", "two", "three"}})
	if !reflect.DeepEqual(put["VersionStages"], []any{"one", "three", "two"}) {
		t.Errorf("stages of the put: %v", put)
	}
	for stage, want := range map[string]string{"": "v2", "AWSCURRENT": "v2", "AWSPREVIOUS": "v1", "one": "v3"} {
		in := object{"SecretId": "prod/db"}
		if stage != "" {
			in["VersionStage"] = stage
		}
		if got := c.call("GetSecretValue", in); got["SecretString"] != want || got["ARN"] != arn {
			t.Errorf("%q is %v", stage, got)
		}
	}
	c.refused("UpdateSecretVersionStage", object{"SecretId": arn, "VersionStage": "AWSCURRENT", "MoveToVersionId": versionToken(3)}, "InvalidParameterException",
		"The parameter RemoveFromVersionId can't be empty. Staging label AWSCURRENT is currently attached to version "+versionToken(2)+", so you must explicitly reference that version in RemoveFromVersionId.")
	c.call("UpdateSecretVersionStage", object{"SecretId": arn, "VersionStage": "AWSCURRENT", "MoveToVersionId": versionToken(3), "RemoveFromVersionId": versionToken(2)})
	if got := c.stages("prod/db"); !reflect.DeepEqual(got, object{versionToken(2): []any{"AWSPREVIOUS"}, versionToken(3): []any{"AWSCURRENT", "one", "three", "two"}}) {
		t.Errorf("stages after the move %v", got)
	}
	c.refused("GetSecretValue", object{"SecretId": arn, "VersionStage": "AWSPENDING"}, "ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: AWSPENDING")
	c.refused("GetSecretValue", object{"SecretId": arn, "VersionId": versionToken(2), "VersionStage": "one"}, "InvalidRequestException", "You provided a VersionStage that is not associated to the provided VersionId.")
}

func TestTheSameTokenActsOnce(t *testing.T) {
	t.Parallel()
	c := open(t)
	arn := c.create("s", "v1", 1)
	if again := c.create("s", "v1", 1); again != arn {
		t.Errorf("created again as %s", again)
	}
	c.refused("CreateSecret", object{"Name": "s", "SecretString": "v1", "ClientRequestToken": versionToken(2)}, "ResourceExistsException", "The operation failed because the secret s already exists.")
	c.refused("PutSecretValue", object{"SecretId": "s", "SecretString": "other", "ClientRequestToken": versionToken(1)}, "ResourceExistsException",
		"You can't use ClientRequestToken "+versionToken(1)+" because that value is already in use for a version of secret "+arn+".")
	c.refused("CreateSecret", object{"Name": "t", "SecretString": "x"}, "InvalidRequestException", "You must provide a ClientRequestToken value. We recommend a UUID-type value.")
}

func TestNamesAndARNs(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.refused("CreateSecret", object{"Name": "Inv Name", "SecretString": "x", "ClientRequestToken": versionToken(1)}, "ValidationException",
		"Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	arn := c.create("Valid/_+=.@-Name-a1b2c3", "x", 1)
	partial := arn[:len(arn)-7]
	c.refused("GetSecretValue", object{"SecretId": partial}, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.") // it ends as a whole one does
	for _, id := range []string{arn, "Valid/_+=.@-Name-a1b2c3"} {
		c.call("GetSecretValue", object{"SecretId": id})
	}
	other := c.create("plain", "x", 2)
	c.call("GetSecretValue", object{"SecretId": other[:len(other)-7]})
	c.refused("GetSecretValue", object{"SecretId": other[:len(other)-6] + "zzzzzz"}, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

func TestDeletion(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.create("s", "v1", 1)
	c.call("DeleteSecret", object{"SecretId": "s", "RecoveryWindowInDays": 7})
	const mark = "You can't perform this operation on the secret because it was marked for deletion."
	for _, operation := range []string{"GetSecretValue", "DeleteSecret", "CancelRotateSecret"} {
		c.refused(operation, object{"SecretId": "s"}, "InvalidRequestException", mark)
	}
	c.refused("TagResource", object{"SecretId": "s", "Tags": []object{{"Key": "a", "Value": "b"}}}, "InvalidRequestException", mark)
	c.refused("CreateSecret", object{"Name": "s", "SecretString": "x", "ClientRequestToken": versionToken(2)}, "InvalidRequestException", "You can't create this secret because a secret with this name is already scheduled for deletion.")
	if d := c.call("DescribeSecret", object{"SecretId": "s"}); d["DeletedDate"] == nil {
		t.Errorf("described as %v", d)
	}
	if list := c.call("ListSecrets", object{}); len(list["SecretList"].([]any)) != 0 {
		t.Errorf("listed: %v", list)
	}
	c.call("RestoreSecret", object{"SecretId": "s"})
	c.call("GetSecretValue", object{"SecretId": "s"})
	c.call("DeleteSecret", object{"SecretId": "s"})
	c.later.Store(int64(31 * 24 * time.Hour))
	c.refused("GetSecretValue", object{"SecretId": "s"}, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	c.create("s", "anew", 3)
	c.call("DeleteSecret", object{"SecretId": "s", "ForceDeleteWithoutRecovery": true})
	c.call("DeleteSecret", object{"SecretId": "s", "ForceDeleteWithoutRecovery": true}) // as AWS
	c.refused("DeleteSecret", object{"SecretId": "s"}, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	c.refused("DeleteSecret", object{"SecretId": "s", "ForceDeleteWithoutRecovery": true, "RecoveryWindowInDays": 7}, "InvalidParameterException", "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")
	left, err := c.store.List(t.Context())
	if err != nil || len(left) != 0 {
		t.Errorf("values are left: %v, %v", left, err)
	}
}

func TestBinaryValuesAndNone(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.call("CreateSecret", object{"Name": "b", "SecretBinary": []byte{0, 1, 2, 0xff}, "ClientRequestToken": versionToken(1)})
	if got := c.call("GetSecretValue", object{"SecretId": "b"}); got["SecretBinary"] != "AAEC/w==" || got["SecretString"] != nil {
		t.Errorf("binary: %v", got)
	}
	made := c.call("CreateSecret", object{"Name": "none"})
	if made["VersionId"] != nil {
		t.Errorf("without a value: %v", made)
	}
	c.refused("GetSecretValue", object{"SecretId": "none"}, "ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT")
	if put := c.call("PutSecretValue", object{"SecretId": "none", "SecretString": "x", "ClientRequestToken": versionToken(1)}); !reflect.DeepEqual(put["VersionStages"], []any{"AWSCURRENT"}) {
		t.Errorf("first value: %v", put)
	}
}

func TestListsAreFilteredAndPaged(t *testing.T) {
	t.Parallel()
	c := open(t)
	for i := range 7 {
		c.call("CreateSecret", object{"Name": fmt.Sprintf("app/%d", i), "Description": "the database of app", "SecretString": "x", "ClientRequestToken": versionToken(i), "Tags": []object{{"Key": "team", "Value": fmt.Sprint("t", i%2)}}})
	}
	c.create("other", "x", 9)
	names := func(in object) (all []string) {
		for {
			got := c.call("ListSecrets", in)
			for _, s := range got["SecretList"].([]any) {
				all = append(all, s.(object)["Name"].(string))
			}
			if got["NextToken"] == nil {
				return all
			}
			in["NextToken"] = got["NextToken"]
		}
	}
	for want, in := range map[int]object{
		8: {"MaxResults": 3},
		7: {"Filters": []object{{"Key": "name", "Values": []string{"app/"}}}, "MaxResults": 2},
		3: {"Filters": []object{{"Key": "tag-value", "Values": []string{"t1"}}}},
		1: {"Filters": []object{{"Key": "name", "Values": []string{"!app/"}}}},
		0: {"Filters": []object{{"Key": "description", "Values": []string{"data none"}}}},
	} {
		if got := names(in); len(got) != want {
			t.Errorf("%v lists %v, want %d", in, got, want)
		}
	}
	if got := c.call("ListSecrets", object{"Filters": []object{{"Key": "all", "Values": []string{"DATA"}}}}); len(got["SecretList"].([]any)) != 7 {
		t.Errorf("by a word: %v", got)
	}
	batch := c.call("BatchGetSecretValue", object{"SecretIdList": []string{"app/1", "nowhere"}})
	if len(batch["SecretValues"].([]any)) != 1 || len(batch["Errors"].([]any)) != 1 {
		t.Errorf("batch: %v", batch)
	}
	c.refused("ListSecrets", object{"NextToken": "***"}, "InvalidNextTokenException", "The NextToken value is invalid.")
}

func TestRandomPasswords(t *testing.T) {
	t.Parallel()
	c := open(t)
	for range 50 {
		p := c.call("GetRandomPassword", object{"PasswordLength": 12, "ExcludePunctuation": true, "ExcludeCharacters": "abcO0"})["RandomPassword"].(string)
		if len(p) != 12 || strings.ContainsAny(p, "abcO0!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ ") ||
			!strings.ContainsAny(p, "123456789") || !strings.ContainsAny(p, "ABCDEFGHIJKLMNPQRSTUVWXYZ") || !strings.ContainsAny(p, "defghijklmnopqrstuvwxyz") {
			t.Fatalf("%q", p)
		}
	}
	if _, code, _ := c.Try(service, "GetRandomPassword", object{"PasswordLength": 2}); code != "InvalidParameterException" {
		t.Errorf("two characters of four kinds: %s", code)
	}
}
