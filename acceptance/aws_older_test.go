package acceptance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// olderAWS is where scripts/test-tools.sh puts Debian's aws command: beside one that
// is installed in another way, so that it takes no command's place.
const olderAWS = "/usr/local/lib/awscli-debian"

// Debian's command is of a generation that knows no variable for an endpoint, and
// speaks to CloudWatch in the query protocol.
func TestDebiansAWSCommand(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(filepath.Join(olderAWS, "usr", "bin", "aws")); err != nil {
		t.Skip("Debian's awscli is not unpacked: scripts/test-tools.sh does that on Debian, as root")
	}
	w := newAWSWorld(t, "us-east-1")
	out := w.mustShell(`
export PYTHONPATH=` + olderAWS + `/usr/lib/python3/dist-packages
older() { /usr/bin/python3 ` + olderAWS + `/usr/bin/aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }
case $(older --version) in aws-cli/2.*) ;; *) echo "it is $(older --version)"; exit 1 ;; esac
older secretsmanager create-secret --name GitHubToken --secret-string mysecrettoken >/dev/null
older secretsmanager get-secret-value --secret-id GitHubToken --query SecretString --output text
older cloudwatch put-metric-data --metric-name MyMetric --namespace MyNamespace --unit Count --value 50
older cloudwatch get-metric-statistics --namespace MyNamespace --metric-name MyMetric --period 60 --statistics Sum \
  --start-time $(date -u -d '-1 hour' +%FT%TZ) --end-time $(date -u -d '+1 hour' +%FT%TZ) --query 'Datapoints[].Sum' --output text
older cloudwatch list-metrics --namespace MyNamespace --query 'Metrics[].MetricName' --output text
if older cloudwatch put-metric-data --metric-name MyMetric --namespace MyNamespace --unit Bushels --value 1 2>error; then echo accepted; fi
grep -o InvalidParameterValue error
older kinesis create-stream --stream-name netflix-events --shard-count 1
older kinesis wait stream-exists --stream-name netflix-events
older kinesis put-record --stream-name netflix-events --partition-key 123 --data dGVzdGRhdGE= --query ShardId --output text
older ec2 describe-subnets --query 'length(Subnets)' --output text
older ecs create-cluster --cluster-name MyCluster --query cluster.status --output text
older s3 mb s3://older-bucket
echo content > object
older s3 cp object s3://older-bucket/object --no-progress
older s3 cp s3://older-bucket/object - --no-progress
`)
	want := `mysecrettoken
50.0
MyMetric
InvalidParameterValue
shardId-000000000000
3
ACTIVE
make_bucket: older-bucket
upload: ./object to s3://older-bucket/object
content
`
	if strings.TrimSpace(out) != strings.TrimSpace(want) {
		t.Errorf("it printed\n%s\nnot\n%s", out, want)
	}
}

// The SDK for Go sends CloudWatch's requests as CBOR. Its program is a module of its
// own, so that the SDK is no dependency of this one.
func TestTheGoSDK(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "clients")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	build.Dir = filepath.Join("testdata", "golang")
	build.Env = append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building it: %v\n%s", err, out)
	}
	w := newAWSWorld(t, "us-east-1")
	if out := w.mustShell(program); strings.TrimSpace(out) != "done" {
		t.Error(out)
	}
}
