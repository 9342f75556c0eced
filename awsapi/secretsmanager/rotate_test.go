package secretsmanager_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"showrunner/awsapi/awstest"
	"showrunner/awsapi/secretsmanager"
	"showrunner/awsapi/wire"
	"showrunner/secret"
	"showrunner/store/record/recordtest"
)

// rotator is a function that rotates a secret as AWS's own examples do.
type rotator struct {
	*client
	secrets *secretsmanager.Secrets
	mu      sync.Mutex
	steps   []string
	fails   int // so many calls fail first
	done    chan struct{}
}

func (r *rotator) Call(_ context.Context, _ wire.Call, service, operation string, in map[string]any) (map[string]any, error) {
	if in["FunctionName"] != "arn:aws:lambda:us-west-2:000000000000:function:rotate" {
		return nil, wire.Errorf("ResourceNotFoundException", "no such function")
	}
	if service != "lambda" || operation != "Invoke" || in["InvocationType"] == "DryRun" {
		return object{"StatusCode": int64(204)}, nil
	}
	var event struct{ Step, SecretId, ClientRequestToken string }
	if err := json.Unmarshal(in["Payload"].([]byte), &event); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fails > 0 {
		r.fails--
		return object{"FunctionError": "Unhandled"}, nil
	}
	r.steps = append(r.steps, event.Step)
	id := event.SecretId
	described := r.call("DescribeSecret", object{"SecretId": id})
	stages := described["VersionIdsToStages"].(object)
	if described["RotationEnabled"] != true || stages[event.ClientRequestToken] == nil {
		return nil, errors.New("no rotation is under way")
	}
	switch event.Step {
	case "createSecret":
		r.refused("GetSecretValue", object{"SecretId": id, "VersionId": event.ClientRequestToken}, "ResourceNotFoundException", "Secrets Manager can't find the specified secret value for VersionId: "+event.ClientRequestToken)
		was := r.call("GetSecretValue", object{"SecretId": id})["SecretString"].(string)
		r.call("PutSecretValue", object{"SecretId": id, "ClientRequestToken": event.ClientRequestToken, "SecretString": was + "+", "VersionStages": []any{"AWSPENDING"}})
	case "finishSecret":
		was := r.call("GetSecretValue", object{"SecretId": id})["VersionId"]
		r.call("UpdateSecretVersionStage", object{"SecretId": id, "VersionStage": "AWSCURRENT", "MoveToVersionId": event.ClientRequestToken, "RemoveFromVersionId": was})
		defer func() { r.done <- struct{}{} }()
	}
	return object{"StatusCode": int64(200)}, nil
}

func rotating(t *testing.T) *rotator {
	t.Helper()
	records := &recordtest.Records{}
	r := &rotator{client: &client{t: t, store: secret.New(records, secret.Options{KeyFile: filepath.Join(t.TempDir(), "key")})}, done: make(chan struct{}, 10)}
	r.secrets = secretsmanager.New(records, values{r.store}, r, func() time.Time { return time.Now().Add(time.Duration(r.later.Load())) })
	r.Client = awstest.New(t, r.secrets.Service())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.secrets.Run(ctx, 5*time.Millisecond, slog.New(slog.NewTextHandler(t.Output(), nil)))
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return r
}

// value waits until the secret has a value, and no rotation is under way.
func (r *rotator) value(want string) object {
	r.t.Helper()
	select {
	case <-r.done:
	case <-time.After(20 * time.Second):
		r.t.Fatal("the rotation did not end")
	}
	for range 2000 {
		got := r.call("DescribeSecret", object{"SecretId": "s"})
		if v := r.call("GetSecretValue", object{"SecretId": "s"}); v["SecretString"] == want && !strings.Contains(fmt.Sprint(got["VersionIdsToStages"]), "AWSPENDING") {
			return got
		}
	}
	r.t.Fatalf("the value is %v", r.call("GetSecretValue", object{"SecretId": "s"})["SecretString"])
	return nil
}

func TestASecretIsRotatedByAFunction(t *testing.T) {
	t.Parallel()
	r := rotating(t)
	r.create("s", "word", 1)
	r.refused("RotateSecret", object{"SecretId": "s", "ClientRequestToken": versionToken(2)}, "InvalidRequestException", "No Lambda rotation function ARN is associated with this secret.")
	r.refused("RotateSecret", object{"SecretId": "s", "ClientRequestToken": versionToken(2), "RotationLambdaARN": "arn:aws:lambda:us-west-2:000000000000:function:none"}, "AccessDeniedException",
		"Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access to the principal secretsmanager.amazonaws.com.")
	r.mu.Lock()
	r.fails = 1 // the first call is made again
	r.mu.Unlock()
	out := r.call("RotateSecret", object{"SecretId": "s", "ClientRequestToken": versionToken(2), "RotationLambdaARN": "arn:aws:lambda:us-west-2:000000000000:function:rotate", "RotationRules": object{"AutomaticallyAfterDays": 1}})
	if out["VersionId"] != versionToken(2) {
		t.Errorf("%v", out)
	}
	r.later.Add(int64(10 * time.Second))
	got := r.value("word+")
	if fmt.Sprint(got["VersionIdsToStages"]) != fmt.Sprint(object{versionToken(1): []any{"AWSPREVIOUS"}, versionToken(2): []any{"AWSCURRENT"}}) || got["LastRotatedDate"] == nil || got["NextRotationDate"] == nil || fmt.Sprint(got["RotationRules"]) != "map[AutomaticallyAfterDays:1]" {
		t.Errorf("%v", got)
	}
	if strings.Join(r.steps, " ") != "createSecret setSecret testSecret finishSecret" {
		t.Errorf("steps: %v", r.steps)
	}
	r.later.Add(int64(25 * time.Hour)) // its time has come again
	r.value("word++")
	r.call("CancelRotateSecret", object{"SecretId": "s"})
	if got := r.call("DescribeSecret", object{"SecretId": "s"}); got["RotationEnabled"] != false || got["NextRotationDate"] != nil {
		t.Errorf("%v", got)
	}
	r.refused("RotateSecret", object{"SecretId": "s", "ClientRequestToken": versionToken(3), "RotationRules": object{"ScheduleExpression": "cron(0 8 * * ? *)"}}, "InvalidParameterException",
		"The rotation schedule has to be AutomaticallyAfterDays, or rate(N days) or rate(N hours): cron expressions are not served here.")
}
