package cloudformation_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

const crashTemplate = `
Parameters: {Value: {Type: String}, Name: {Type: String}, Last: {Type: String}}
Resources:
  Bucket: {Type: "AWS::S3::Bucket", Properties: {WebsiteConfiguration: {IndexDocument: i.html}}}
  Named: {Type: "AWS::SSM::Parameter", Properties: {Name: !Ref Name, Type: String, Value: !Ref Value}}
  Role: {Type: "AWS::IAM::Role", Properties: {AssumeRolePolicyDocument: {Statement: []}, Policies: [{PolicyName: p, PolicyDocument: {Statement: []}}]}}
  Stream: {Type: "AWS::Kinesis::Stream", Properties: {ShardCount: 1, RetentionPeriodHours: 48}}
  Secret: {Type: "AWS::SecretsManager::Secret", Properties: {GenerateSecretString: {PasswordLength: 20}}}
  Last: {Type: "AWS::SSM::Parameter", DependsOn: [Bucket, Named, Role, Stream, Secret], Properties: {Name: !Ref Last, Type: String, Value: !GetAtt Role.Arn}}
`

func crashInput(value, name, last string) object {
	one := func(key, value string) object { return object{"ParameterKey": key, "ParameterValue": value} }
	return object{"StackName": "s", "TemplateBody": crashTemplate, "Capabilities": []any{"CAPABILITY_IAM"}, "Parameters": []any{one("Value", value), one("Name", name), one("Last", last)}}
}

// crash runs an operation in a control plane that dies with its so-many-eth write,
// and says whether it died. The next one carries on.
func (w *world) crash(writes int, operation string, in object) bool {
	w.t.Helper()
	w.stop()
	w.start(writes)
	_, err := w.try(operation, in)
	died := w.dead.alive() != nil
	if !died { // it may still die while the stack settles
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for ; ; <-tick.C {
			d, derr := w.try("DescribeStacks", object{"StackName": in["StackName"]})
			if died = w.dead.alive() != nil; died || derr != nil {
				break
			}
			if status := d["Stacks"].([]any)[0].(object)["StackStatus"].(string); !strings.HasSuffix(status, "_IN_PROGRESS") {
				break
			}
		}
	}
	w.stop()
	w.start(-1)
	if err != nil && died {
		// The client got no answer: it asks again, as every client of AWS does.
		if _, err := w.try(operation, in); err != nil && !strings.Contains(err.Error(), "AlreadyExists") && !strings.Contains(err.Error(), "No updates") && !strings.Contains(err.Error(), "IN_PROGRESS") {
			w.t.Fatalf("write %d: asked again: %v", writes, err)
		}
	}
	return died
}

// census is everything there is outside of the stack, with how often it was changed.
func (w *world) census() map[string]string {
	w.t.Helper()
	out := map[string]string{}
	for _, p := range w.call("ssm.DescribeParameters", object{})["Parameters"].([]any) {
		m := p.(object)
		out["parameter "+m["Name"].(string)] = fmt.Sprint("version ", m["Version"])
	}
	for _, r := range w.call("iam.ListRoles", object{})["Roles"].([]any) {
		name := r.(object)["RoleName"].(string)
		out["role"] += "+" + fmt.Sprint(w.call("iam.ListRolePolicies", object{"RoleName": name})["PolicyNames"])
	}
	for _, n := range w.call("kinesis.ListStreams", object{})["StreamNames"].([]any) {
		d := w.call("kinesis.DescribeStreamSummary", object{"StreamName": n})["StreamDescriptionSummary"].(object)
		out["stream"] += fmt.Sprint("+", d["RetentionPeriodHours"])
	}
	for _, s := range w.call("secretsmanager.ListSecrets", object{})["SecretList"].([]any) {
		out["secret"] += fmt.Sprint("+", len(s.(object)["SecretVersionsToStages"].(object)))
	}
	w.objects.mu.Lock()
	defer w.objects.mu.Unlock()
	for _, b := range w.objects.buckets {
		out["bucket"] += fmt.Sprint("+", slices.Sorted(maps.Keys(b)))
	}
	out["buckets made"] = fmt.Sprint(len(w.objects.made))
	return out
}

// A control plane dies at every write of a creation, an update with a replacement,
// an update that is rolled back, and a deletion: what is there at the end is the
// same, and nothing was made twice.
func TestKilledAtEveryWrite(t *testing.T) {
	t.Parallel()
	for _, c := range []crashCase{
		{"create", "CreateStack", crashInput("1", "named", "last"), false, "CREATE_COMPLETE"},
		{"failed creation", "CreateStack", crashInput("1", "named", "aws-last"), false, "ROLLBACK_COMPLETE"},
		{"replacement", "UpdateStack", crashInput("2", "renamed", "last"), true, "UPDATE_COMPLETE"},
		{"update", "UpdateStack", crashInput("2", "named", "last"), true, "UPDATE_COMPLETE"},
		{"failed update", "UpdateStack", crashInput("2", "renamed", "aws-last"), true, "UPDATE_ROLLBACK_COMPLETE"},
		{"deletion", "DeleteStack", object{"StackName": "s"}, true, "DELETE_COMPLETE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, false, crashInput("1", "named", "last"), (*world).census)
		})
	}
}

// crashCase is an operation of a stack, and what the stack is at its end.
type crashCase struct {
	name      string
	operation string
	in        object
	before    bool // there is a stack already
	status    string
}

// run kills the operation at every write and compares what there is at its end.
func (c crashCase) run(t *testing.T, instances bool, first object, census func(*world) map[string]string) {
	t.Helper()
	c.runIn(t, func(t *testing.T) *world { t.Helper(); return newWorldOf(t, instances) }, first, census)
}

// runIn is run in worlds of the caller's.
func (c crashCase) runIn(t *testing.T, open func(*testing.T) *world, first object, census func(*world) map[string]string) {
	t.Helper()
	setup := func() (*world, string) {
		w := open(t)
		if !c.before {
			return w, "s"
		}
		id := w.call("CreateStack", first)["StackId"].(string)
		w.is("s", "CREATE_COMPLETE")
		return w, id
	}
	calm, id := setup()
	calm.call(c.operation, c.in)
	calm.is(id, c.status)
	want := census(calm)
	points := 0
	for n := 1; ; n++ {
		w, id := setup()
		died := w.crash(n, c.operation, c.in)
		w.is(id, c.status)
		if got := census(w); !maps.Equal(got, want) {
			t.Errorf("killed at write %d: there is\n%v, want\n%v\n%s", n, got, want, strings.Join(w.events(id), "\n"))
		}
		w.stop()
		if !died {
			break
		}
		points++
	}
	t.Logf("%d points", points)
	if points < 10 {
		t.Errorf("only %d points: the test kills nothing", points)
	}
}

// Where several control planes have the same records, one that dies loses its claim
// on an operation after a while, and not before.
func TestAnotherControlPlaneCarriesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.several = true
	w.stop()
	w.start(12)
	_, _ = w.try("CreateStack", crashInput("1", "named", "last"))
	<-w.dead.died
	w.stop()
	w.start(-1)
	if status := w.first("s").(object)["StackStatus"]; status != "CREATE_IN_PROGRESS" {
		t.Fatalf("the stack is %v: the claim of the dead one does not count", status)
	}
	w.later.Store(int64(time.Minute))
	w.is("s", "CREATE_COMPLETE")
}

// A stack whose creation failed and was left as it is can be mended by an update.
func TestAnUpdateMendsAFailedCreation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := crashInput("1", "named", "aws-last")
	in["OnFailure"] = "DO_NOTHING"
	w.call("CreateStack", in)
	w.is("s", "CREATE_FAILED")
	w.call("UpdateStack", crashInput("1", "named", "last"))
	w.is("s", "UPDATE_COMPLETE")
	if got := w.census(); got["parameter last"] != "version 1" || got["buckets made"] != "1" || got["parameter named"] != "version 1" {
		t.Errorf("there is %v", got)
	}
}
