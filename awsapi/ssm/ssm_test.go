package ssm_test

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"showrunner/awsapi/awstest"
	"showrunner/awsapi/ssm"
	"showrunner/secret"
	"showrunner/store/record/recordtest"
)

type object = map[string]any

type values struct{ *secret.Store }

func (v values) Set(ctx context.Context, name string, value []byte) error {
	return v.Store.Set(ctx, name, value)
}
func (v values) Delete(ctx context.Context, name string) error { return v.Store.Delete(ctx, name) }

type client struct {
	*awstest.Client
	records *recordtest.Records
	secrets *secret.Store
}

func open(t *testing.T) *client {
	t.Helper()
	c := &client{records: &recordtest.Records{}}
	c.secrets = secret.New(c.records, secret.Options{KeyFile: filepath.Join(t.TempDir(), "key")})
	c.Client = awstest.New(t, ssm.Service(c.records, values{c.secrets}, time.Now, ssm.Images("ami-1")))
	return c
}

func (c *client) put(name, kind, value string) {
	c.Call("ssm", "PutParameter", object{"Name": name, "Type": kind, "Value": value})
}

// value is what a parameter's name or selector answers with.
func (c *client) value(id string, decrypt bool) any {
	return c.Call("ssm", "GetParameter", object{"Name": id, "WithDecryption": decrypt})["Parameter"].(object)["Value"]
}

func TestVersionsLabelsAndARNs(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.put("/app/db/host", "String", "one")
	if _, code, message := c.Try("ssm", "PutParameter", object{"Name": "/app/db/host", "Type": "String", "Value": "two"}); code != "ParameterAlreadyExists" ||
		message != "The parameter already exists. To overwrite this value, set the overwrite option in the request to true." {
		t.Errorf("%s: %s", code, message)
	}
	if out := c.Call("ssm", "PutParameter", object{"Name": "/app/db/host", "Value": "two", "Overwrite": true}); !reflect.DeepEqual(out, object{"Version": 2.0, "Tier": "Standard"}) {
		t.Errorf("put: %v", out)
	}
	c.Call("ssm", "LabelParameterVersion", object{"Name": "/app/db/host", "ParameterVersion": 1, "Labels": []string{"live"}})
	c.put("plain", "StringList", "a,b")
	for id, want := range map[string]string{
		"/app/db/host": "two", "/app/db/host:1": "one", "/app/db/host:live": "one", "plain": "a,b",
		"arn:aws:ssm:us-west-2:000000000000:parameter/app/db/host": "two", "arn:aws:ssm:us-west-2:000000000000:parameter/plain": "a,b",
	} {
		if got := c.value(id, false); got != want {
			t.Errorf("%s is %v, want %s", id, got, want)
		}
	}
	for id, want := range map[string]string{"/app/none": "ParameterNotFound", "/app/db/host:9": "ParameterVersionNotFound", "/app/db/host:dead": "ParameterVersionNotFound"} {
		if _, code, _ := c.Try("ssm", "GetParameter", object{"Name": id}); code != want {
			t.Errorf("%s: %s, want %s", id, code, want)
		}
	}
	history := c.Call("ssm", "GetParameterHistory", object{"Name": "/app/db/host"})["Parameters"].([]any)
	if len(history) != 2 || !reflect.DeepEqual(history[0].(object)["Labels"], []any{"live"}) || history[1].(object)["Value"] != "two" {
		t.Errorf("history %v", history)
	}
	if out := c.Call("ssm", "UnlabelParameterVersion", object{"Name": "/app/db/host", "ParameterVersion": 1, "Labels": []string{"live", "other"}}); !reflect.DeepEqual(out, object{"RemovedLabels": []any{"live"}, "InvalidLabels": []any{"other"}}) {
		t.Errorf("labels that were taken: %v", out)
	}
	if _, code, _ := c.Try("ssm", "GetParameter", object{"Name": "/app/db/host:live"}); code != "ParameterVersionNotFound" {
		t.Errorf("a label that was taken: %s", code)
	}
}

func TestSecureStringsAreEncrypted(t *testing.T) {
	t.Parallel()
	c := open(t)
	const text = "a-text-that-must-not-be-seen"
	c.put("/key", "SecureString", text)
	if got := c.value("/key", false); got == text || got == "" {
		t.Errorf("without decryption: %v", got)
	}
	if got := c.value("/key", true); got != text {
		t.Errorf("with decryption: %v", got)
	}
	for _, collection := range []string{"aws.ssm", "secrets"} {
		list, err := c.records.ListRecords(t.Context(), collection, "", "", 100)
		if err != nil || len(list) == 0 {
			t.Fatalf("%s: %v, %v", collection, list, err)
		}
		for _, r := range list {
			if strings.Contains(string(r.Data), text) {
				t.Errorf("%s holds the value: %s", collection, r.Data)
			}
		}
	}
	c.Call("ssm", "DeleteParameter", object{"Name": "/key"})
	if left, err := c.secrets.List(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("values are left: %v, %v", left, err)
	}
}

func TestPathsAndPages(t *testing.T) {
	t.Parallel()
	c := open(t)
	for i := range 15 {
		c.put(fmt.Sprintf("/app/%02d", i), "String", "x")
	}
	c.put("/app/deep/er", "String", "x")
	c.put("/application", "String", "x")
	count := func(in object) (n int) {
		for {
			out := c.Call("ssm", "GetParametersByPath", in)
			n += len(out["Parameters"].([]any))
			if out["NextToken"] == nil {
				return n
			}
			in["NextToken"] = out["NextToken"]
		}
	}
	if got := count(object{"Path": "/app"}); got != 15 {
		t.Errorf("one level: %d", got)
	}
	if got := count(object{"Path": "/app/", "Recursive": true, "MaxResults": 3}); got != 16 {
		t.Errorf("recursive: %d", got)
	}
	out := c.Call("ssm", "DescribeParameters", object{"ParameterFilters": []object{{"Key": "Name", "Option": "BeginsWith", "Values": []string{"/appl"}}}})
	if list := out["Parameters"].([]any); len(list) != 1 || list[0].(object)["Name"] != "/application" {
		t.Errorf("described: %v", out)
	}
	many := c.Call("ssm", "GetParameters", object{"Names": []string{"/app/01", "/none", "/app/01:7"}})
	if len(many["Parameters"].([]any)) != 1 || !reflect.DeepEqual(many["InvalidParameters"], []any{"/none", "/app/01:7"}) {
		t.Errorf("many: %v", many)
	}
	gone := c.Call("ssm", "DeleteParameters", object{"Names": []string{"/app/01", "/none"}})
	if !reflect.DeepEqual(gone, object{"DeletedParameters": []any{"/app/01"}, "InvalidParameters": []any{"/none"}}) {
		t.Errorf("deleted: %v", gone)
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	c := open(t)
	for want, in := range map[string]object{
		"ValidationException":                  {"Name": "a b", "Type": "String", "Value": "x"},
		"HierarchyLevelLimitExceededException": {"Name": strings.Repeat("/a", 16), "Type": "String", "Value": "x"},
		"ParameterPatternMismatchException":    {"Name": "n", "Type": "String", "Value": "x", "AllowedPattern": `\d+`},
		"InvalidAllowedPatternException":       {"Name": "n", "Type": "String", "Value": "x", "AllowedPattern": `(`},
	} {
		if _, code, message := c.Try("ssm", "PutParameter", in); code != want {
			t.Errorf("%v: %s %s", in, code, message)
		}
	}
	for _, in := range []object{{"Name": "aws-x", "Type": "String", "Value": "x"}, {"Name": "a/b", "Type": "String", "Value": "x"}, {"Name": "n", "Value": "x"},
		{"Name": "n", "Type": "String", "Value": strings.Repeat("x", 4097)}, {"Name": "n", "Type": "Nonsense", "Value": "x"}} {
		if _, code, message := c.Try("ssm", "PutParameter", in); code != "ValidationException" {
			t.Errorf("%v: %s %s", in["Name"], code, message)
		}
	}
	if _, code, _ := c.Try("ssm", "DescribeParameters", object{"ParameterFilters": []object{{"Key": "Nonsense"}}}); code != "InvalidFilterKey" && code != "ValidationException" {
		t.Errorf("a filter nobody knows: %s", code)
	}
}

func TestPublishedImages(t *testing.T) {
	t.Parallel()
	c := open(t)
	const name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
	p := c.Call("ssm", "GetParameter", object{"Name": name})["Parameter"].(object)
	if p["Value"] != "ami-1" || p["DataType"] != "aws:ec2:image" || p["ARN"] != "arn:aws:ssm:us-west-2::parameter"+name {
		t.Errorf("the parameter is %v", p)
	}
	c.Refused("ssm", "PutParameter", object{"Name": name, "Type": "String", "Value": "x", "Overwrite": true}, "ValidationException", "Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive).")
	c.Refused("ssm", "GetParameter", object{"Name": "/aws/service/other"}, "ParameterNotFound", "")
}
