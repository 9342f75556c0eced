package acceptance

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	cborencode "github.com/fxamacker/cbor/v2"
)

// hostileTarget is a request that would change something, if it were honest.
type hostileTarget struct {
	name, service, method, path string
	header                      map[string]string
	body                        string
}

const (
	formType, cborProtocol = "application/x-www-form-urlencoded", "rpc-v2-cbor"
	query, ec2, cbor       = "query", "ec2", "cbor"
)

func jsonTarget(name, service, version, target, body string) hostileTarget {
	return hostileTarget{name, service, http.MethodPost, "/", map[string]string{"Content-Type": "application/x-amz-json-" + version, "X-Amz-Target": target}, body}
}

func formTarget(name, service, body string) hostileTarget {
	return hostileTarget{name, service, http.MethodPost, "/", map[string]string{"Content-Type": formType}, body}
}

// hostileTargets are all services in all of their protocols.
var hostileTargets = []hostileTarget{
	formTarget("sts", "sts", "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A000000000000%3Arole%2Fr&RoleSessionName=hostile"),
	formTarget("iam", "iam", "Action=CreateRole&Version=2010-05-08&RoleName=hostile&AssumeRolePolicyDocument=%7B%7D"),
	formTarget("cloudformation", "cloudformation", "Action=CreateStack&Version=2010-05-15&StackName=hostile&TemplateBody=Resources%3A%20%7BP%3A%20%7BType%3A%20%27AWS%3A%3ASSM%3A%3AParameter%27%2C%20Properties%3A%20%7BType%3A%20String%2C%20Value%3A%20a%7D%7D%7D"),
	formTarget("autoscaling", "autoscaling", "Action=CreateAutoScalingGroup&Version=2011-01-01&AutoScalingGroupName=hostile&MinSize=1&MaxSize=1&LaunchTemplate.LaunchTemplateName=MyTemplate&VPCZoneIdentifier=subnet-12345678"),
	formTarget("elbv2", "elasticloadbalancing", "Action=CreateLoadBalancer&Version=2015-12-01&Name=hostile&Subnets.member.1=subnet-12345678&Subnets.member.2=subnet-87654321"),
	formTarget("cloudwatch query", "monitoring", "Action=PutMetricAlarm&Version=2010-08-01&AlarmName=hostile&ComparisonOperator=GreaterThanThreshold&EvaluationPeriods=1&MetricName=m&Namespace=n&Period=60&Statistic=Sum&Threshold=1"),
	formTarget("ec2", "ec2", "Action=RunInstances&Version=2016-11-15&LaunchTemplate.LaunchTemplateName=MyTemplate&MinCount=1&MaxCount=1"),
	jsonTarget("secretsmanager", "secretsmanager", "1.1", "secretsmanager.CreateSecret", `{"Name":"hostile","SecretString":"s","ClientRequestToken":"00000000-0000-4000-8000-000000000000"}`),
	jsonTarget("ssm", "ssm", "1.1", "AmazonSSM.PutParameter", `{"Name":"/hostile","Value":"v","Type":"String"}`),
	jsonTarget("kinesis", "kinesis", "1.1", "Kinesis_20131202.CreateStream", `{"StreamName":"hostile","ShardCount":1}`),
	jsonTarget("logs", "logs", "1.1", "Logs_20140328.CreateLogGroup", `{"logGroupName":"hostile"}`),
	jsonTarget("ecs", "ecs", "1.1", "AmazonEC2ContainerServiceV20141113.CreateCluster", `{"clusterName":"hostile"}`),
	jsonTarget("codepipeline", "codepipeline", "1.1", "CodePipeline_20150709.StartPipelineExecution", `{"name":"hostile"}`),
	jsonTarget("codebuild", "codebuild", "1.1", "CodeBuild_20161006.CreateProject", `{"name":"hostile","source":{"type":"NO_SOURCE","buildspec":"version: 0.2\nphases: {build: {commands: [\"true\"]}}"},"artifacts":{"type":"NO_ARTIFACTS"},"environment":{"type":"LINUX_CONTAINER","image":"aws/codebuild/standard:7.0","computeType":"BUILD_GENERAL1_SMALL"},"serviceRole":"arn:aws:iam::000000000000:role/r"}`),
	jsonTarget("cloudwatch json", "monitoring", "1.0", "GraniteServiceVersion20100801.PutMetricAlarm", `{"AlarmName":"hostile","ComparisonOperator":"GreaterThanThreshold","EvaluationPeriods":1,"MetricName":"m","Namespace":"n","Period":60,"Statistic":"Sum","Threshold":1}`),
	{"cloudwatch cbor", "monitoring", http.MethodPost, "/service/GraniteServiceVersion20100801/operation/PutMetricAlarm", map[string]string{"Content-Type": "application/cbor", "Smithy-Protocol": cborProtocol},
		encoded(map[string]any{"AlarmName": "hostile", "ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1, "MetricName": "m", "Namespace": "n", "Period": 60, "Statistic": "Sum", "Threshold": 1.5})},
	{"lambda", "lambda", http.MethodPost, "/2015-03-31/functions", map[string]string{"Content-Type": "application/json"}, `{"FunctionName":"hostile","Role":"arn:aws:iam::000000000000:role/r","Runtime":"provided.al2023","Handler":"h","Code":{"ZipFile":"UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="}}`},
	{"s3", "s3", http.MethodPut, "/hostile-bucket", nil, ""},
}

// hostileRequest is a target while an attack makes something of it.
type hostileRequest struct {
	hostileTarget
	host, region, key, secret, token string
	at                               time.Time
	unsigned                         bool
	tamper                           func(*http.Request) // after it was signed
	wire                             func(string) string // of what is sent
	cut                              bool                // the client closes the connection after that
}

// encoded is a value in CBOR.
func encoded(v any) string {
	b, err := cborencode.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// kind is how the body of a target is written.
func (r *hostileRequest) kind() string {
	switch {
	case r.service == "ec2":
		return ec2
	case r.header["Content-Type"] == formType:
		return query
	case r.header["Smithy-Protocol"] != "":
		return cbor
	case r.service == "s3":
		return "xml"
	}
	return "json"
}

func (r *hostileRequest) set(name, value string) {
	header := map[string]string{name: value}
	for k, v := range r.header {
		if k != name {
			header[k] = v
		}
	}
	r.header = header
}

// broken is a body that is none in the request's protocol.
func (r *hostileRequest) broken() string {
	return map[string]string{query: r.body + "&%zz=1", ec2: r.body + "&%zz=1", cbor: "\xbf\x61", "json": r.body + "}{", "xml": "<CreateBucketConfiguration"}[r.kind()]
}

// deep is a body that is nested 100,000 times.
func (r *hostileRequest) deep() string {
	const n = 100_000
	return map[string]string{query: "Action=" + strings.Repeat("a.member.1.", n) + "=1", ec2: r.body + "&" + strings.Repeat("Filter.1.", n) + "=1&x;y", cbor: strings.Repeat("\x81", n) + "\x01",
		"json": strings.Repeat(`{"a":[`, n) + strings.Repeat(`]}`, n), "xml": strings.Repeat("<a>", n)}[r.kind()]
}

// lying is a body whose lengths promise much more than there is.
func (r *hostileRequest) lying() string {
	return map[string]string{query: strings.Repeat("&", 200_000), ec2: strings.Repeat("a&", 100_000), cbor: "\x9b\x7f\xff\xff\xff\xff\xff\xff\xff", "json": `{"Name":` + strings.Repeat("9", 300_000), "xml": `<!DOCTYPE a [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><a>&b;</a>`}[r.kind()]
}

func bomb(size int64) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.CopyN(z, zeros{}, size); err != nil {
		panic(err)
	}
	z.Close()
	return b.String()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

var gzipBomb = bomb(300 << 20)

// hostileAttacks are what is done to each target.
var hostileAttacks = map[string]func(*hostileRequest){
	"unsigned":                 func(r *hostileRequest) { r.unsigned = true },
	"wrong secret":             func(r *hostileRequest) { r.secret += "x" },
	"foreign key":              func(r *hostileRequest) { r.key = "AKIAIOSFODNN7EXAMPLE" },
	"empty key":                func(r *hostileRequest) { r.key = "" },
	"token of nobody":          func(r *hostileRequest) { r.token = base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("x"), 100)) },
	"replayed after 15 min":    func(r *hostileRequest) { r.at = r.at.Add(-16 * time.Minute) },
	"of the future":            func(r *hostileRequest) { r.at = r.at.Add(16 * time.Minute) },
	"wrong host":               func(r *hostileRequest) { r.host = "rebound.example.com" },
	"host that looks local":    func(r *hostileRequest) { r.host = "127.0.0.1.example.com:4566" },
	"signed for another host":  func(r *hostileRequest) { r.tamper = func(h *http.Request) { h.Host = "localhost:1" } },
	"wrong region":             func(r *hostileRequest) { r.region = "mars-north-1" },
	"signed for other service": func(r *hostileRequest) { r.service = "dynamodb" },
	"body changed":             func(r *hostileRequest) { r.tamper = changeBody },
	"operation changed": func(r *hostileRequest) {
		r.tamper = func(h *http.Request) {
			h.URL.RawQuery = "Action=DeleteEverything"
			h.Header.Set("X-Amz-Target", h.Header.Get("X-Amz-Target")+"s")
		}
	},
	"signature cut": func(r *hostileRequest) { r.tamper = onAuthorization(func(a string) string { return a[:len(a)-4] }) },
	"signature without it": func(r *hostileRequest) {
		r.tamper = onAuthorization(func(a string) string { a, _, _ = strings.Cut(a, "Signature="); return a })
	},
	"a header not signed": func(r *hostileRequest) {
		r.tamper = func(h *http.Request) { h.Header.Set("X-Amz-Website-Redirect-Location", "/elsewhere") }
	},
	"host not signed": func(r *hostileRequest) {
		r.tamper = onAuthorization(func(a string) string { return strings.Replace(a, "host;", "", 1) })
	},
	"no date": func(r *hostileRequest) { r.tamper = func(h *http.Request) { h.Header.Del("X-Amz-Date") } },
	"version 2": func(r *hostileRequest) {
		r.tamper = onAuthorization(func(string) string { return "AWS " + r.key + ":c2lnbmF0dXJl" })
	},
	"presigned, expired": func(r *hostileRequest) {
		r.unsigned = true
		r.tamper = func(h *http.Request) {
			q := url.Values{"X-Amz-Algorithm": {"AWS4-HMAC-SHA256"}, "X-Amz-Credential": {r.key + "/20200101/us-east-1/" + r.service + "/aws4_request"}, "X-Amz-Date": {"20200101T000000Z"}, "X-Amz-Expires": {"604800"}, "X-Amz-SignedHeaders": {"host"}, "X-Amz-Signature": {strings.Repeat("0", 64)}}
			h.URL.RawQuery = q.Encode()
		}
	},
	"malformed":        func(r *hostileRequest) { r.body = r.broken() },
	"deep":             func(r *hostileRequest) { r.body = r.deep() },
	"lengths that lie": func(r *hostileRequest) { r.body = r.lying() },
	"not text":         func(r *hostileRequest) { r.body = "\xff\xfe\x00" + r.body },
	"gzip bomb":        func(r *hostileRequest) { r.body = gzipBomb; r.set("Content-Encoding", "gzip") },
	"gzip cut":         func(r *hostileRequest) { r.body = gzipBomb[:1000]; r.set("Content-Encoding", "gzip") },
	"unknown encoding": func(r *hostileRequest) { r.set("Content-Encoding", "br") },
	"a terabyte": func(r *hostileRequest) {
		r.cut = r.service == "s3" // which takes five gigabytes, and waits for them
		r.wire = func(s string) string {
			return replaceLength(s, "Content-Length: "+strconv.Itoa(1<<40), strings.Repeat("x", 1<<16))
		}
	},
	"shorter than said": func(r *hostileRequest) {
		r.cut = true
		r.wire = func(s string) string { return replaceLength(s, "Content-Length: 5000", "{}") }
	},
	"chunks that lie": func(r *hostileRequest) {
		r.cut = true
		r.wire = func(s string) string { return replaceLength(s, "Transfer-Encoding: chunked", "ffffffffffffffff\r\nxx") }
	},
	"chunks cut": func(r *hostileRequest) {
		r.cut = true
		r.wire = func(s string) string { return replaceLength(s, "Transfer-Encoding: chunked", "ff\r\nxx") }
	},
	"both lengths": func(r *hostileRequest) {
		r.cut = true
		r.wire = func(s string) string {
			return replaceLength(s, "Transfer-Encoding: chunked\r\nContent-Length: 4", "0\r\n\r\nPOST / HTTP/1.1\r\nHost: x\r\n\r\n")
		}
	},
}

func changeBody(h *http.Request) {
	text := "x=1"
	h.Body, h.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
}

func onAuthorization(change func(string) string) func(*http.Request) {
	return func(h *http.Request) { h.Header.Set("Authorization", change(h.Header.Get("Authorization"))) }
}

// replaceLength gives a request another length, and another body.
func replaceLength(request, length, body string) string {
	head, _, _ := strings.Cut(request, "\r\n\r\n")
	lines := slices.DeleteFunc(strings.Split(head, "\r\n"), func(l string) bool { return strings.HasPrefix(l, "Content-Length:") })
	return strings.Join(append(lines, length), "\r\n") + "\r\n\r\n" + body
}

// send signs a hostile request, sends it over a connection of its own and returns the
// status of the answer; 0 when the connection was closed without one.
func (r *hostileRequest) send(t *testing.T, address string) (int, string) {
	t.Helper()
	h, err := http.NewRequest(r.method, "http://"+address+r.path, strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	h.Host = r.host
	for k, v := range r.header {
		h.Header.Set(k, v)
	}
	if !r.unsigned {
		sum := sha256.Sum256([]byte(r.body))
		hash := hex.EncodeToString(sum[:])
		if r.service == "s3" {
			h.Header.Set("X-Amz-Content-Sha256", hash)
		}
		if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: r.key, SecretAccessKey: r.secret, SessionToken: r.token}, h, hash, r.service, r.region, r.at); err != nil {
			t.Fatal(err)
		}
	}
	if r.tamper != nil {
		r.tamper(h)
	}
	var text bytes.Buffer
	if err := h.Write(&text); err != nil {
		t.Fatal(err)
	}
	bytes := text.String()
	if r.wire != nil {
		bytes = r.wire(bytes)
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	go func() { // the answer may come before all was sent
		io.WriteString(conn, bytes)
		if r.cut {
			conn.(*net.TCPConn).CloseWrite()
		}
	}()
	res, err := http.ReadResponse(bufio.NewReader(conn), h)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20)) // what is read of it is for the message
	return res.StatusCode, string(body)
}

// harmless are attacks that are none for a service: the request is as good as another.
var harmless = map[string]bool{
	"sts/wrong region": true, "iam/wrong region": true, // global services
	"s3/gzip bomb": true, "s3/gzip cut": true, "s3/unknown encoding": true, // S3 keeps a body as it is: here one that creates no bucket
}

// TestHostileRequests sends what no honest client sends, to every service in every
// protocol: none acts, none crashes the server, and memory stays flat.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	w := newAWSWorld(t, "us-east-1")
	address := strings.TrimPrefix(w.variable("AWS_ENDPOINT_URL"), "http://")
	key, secret := w.variable("AWS_ACCESS_KEY_ID"), w.variable("AWS_SECRET_ACCESS_KEY")
	w.aws("ec2", "describe-subnets") // the default network is made
	control := w.pid("control")
	before, sent := w.records(), 0
	peak := func() int { return w.memory(control, "VmHWM") }
	at := peak()
	for _, target := range hostileTargets {
		for name, attack := range hostileAttacks {
			r := &hostileRequest{hostileTarget: target, host: address, region: "us-east-1", key: key, secret: secret, at: time.Now()}
			attack(r)
			if harmless[target.name+"/"+name] {
				continue
			}
			sent++
			began := time.Now()
			status, body := r.send(t, address)
			if status != 0 && (status < 400 || status >= 500) && !(r.cut && status == http.StatusServiceUnavailable) {
				t.Errorf("%s, %s: %d %.200s", target.name, name, status, body)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("%s, %s: answered after %s", target.name, name, took)
			}
			if now := peak(); now > at+32 {
				t.Logf("%s, %s: the peak of memory rose from %d to %d MB", target.name, name, at, now)
				at = now
			}
		}
	}
	if after := w.records(); !slices.Equal(before, after) {
		t.Errorf("records changed:\n%s", strings.Join(added(before, after), "\n"))
	}
	if now := w.pid("control"); now != control {
		t.Errorf("control was started again: %d, before %d", now, control)
	}
	t.Logf("%d requests; memory: peak %d MB, at the end %d MB", sent, peak(), w.memory(control, "VmRSS"))
	if peak() > 256 {
		t.Errorf("the peak of memory is %d MB", peak())
	}
}

// variable is one of those that lead clients here.
func (w *world) variable(name string) string {
	w.t.Helper()
	for line := range strings.Lines(w.must("aws", "env")) {
		if rest, ok := strings.CutPrefix(line, "export "+name+"="); ok {
			return strings.Trim(strings.TrimSpace(rest), "'")
		}
	}
	w.t.Fatalf("there is no variable %s", name)
	return ""
}

// memory is a figure of /proc, in megabytes.
func (w *world) memory(pid int, name string) int {
	w.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		w.t.Skip("no /proc: ", err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			var kb int
			if _, err := fmt.Sscan(rest, &kb); err == nil {
				return kb >> 10
			}
		}
	}
	return 0
}

// records are all rows of the control plane's state, but for those that say that
// they were read.
func (w *world) records() []string {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "backup")
	w.must("backup", file)
	text, err := os.ReadFile(file)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		var row struct {
			T string
			R json.RawMessage
		}
		if json.Unmarshal([]byte(line), &row) != nil || row.T == "" || strings.Contains(string(row.R), `"audit.backup"`) {
			continue
		}
		out = append(out, row.T+" "+string(row.R))
	}
	return out
}

// added are the lines of one list that another does not have.
func added(before, after []string) []string {
	var out []string
	for _, line := range after {
		if !slices.Contains(before, line) {
			out = append(out, fmt.Sprintf("%.300s", line))
		}
	}
	return out
}
