package lambda

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"showrunner/awsapi/carry"
	"showrunner/awsapi/logs"
	"showrunner/awsapi/wire"
	"showrunner/cloud"
	"showrunner/problem"
)

// The limits of payloads, in bytes.
const (
	mostPayload      = 6291456
	mostEventPayload = 1 << 20
)

type invokeInput struct {
	FunctionName, Qualifier, InvocationType, LogType, ClientContext string
	Payload                                                         []byte
}

type invokeOutput struct {
	StatusCode                                int64
	FunctionError, LogResult, ExecutedVersion string
	Payload                                   []byte
}

// invoke runs a function and waits for it, or accepts the request.
func (s *Service) invoke(ctx context.Context, c *wire.Call, in *invokeInput) (*invokeOutput, error) {
	w, err := s.which(c, in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	f, v, err := s.target(ctx, c.Region, w)
	if err != nil {
		return nil, err
	}
	payload, err := checkPayload(in)
	if err != nil {
		return nil, err
	}
	switch in.InvocationType {
	case "DryRun":
		return &invokeOutput{StatusCode: http.StatusNoContent, ExecutedVersion: v.Number}, nil
	case "Event":
		e := event{ID: c.ID, Function: f.Name, Created: f.Created, Qualifier: w.qualifier, Payload: payload, ClientContext: in.ClientContext}
		if c.Token != "" {
			e.ID, e.Watched = c.Token, true
		}
		return &invokeOutput{StatusCode: http.StatusAccepted}, s.accept(ctx, c.Region, e)
	}
	r, err := s.run(ctx, request{region: c.Region, f: &f, v: v, qualifier: w.qualifier, id: c.ID, payload: payload, clientContext: in.ClientContext})
	if err != nil {
		return nil, err
	}
	out := &invokeOutput{StatusCode: http.StatusOK, ExecutedVersion: v.Number, Payload: r.Payload}
	if r.Failed {
		out.FunctionError = "Unhandled"
	}
	if in.LogType == "Tail" {
		out.LogResult = base64.StdEncoding.EncodeToString(r.tail)
	}
	return out, nil
}

// checkPayload is the payload of a request, which has to be JSON.
func checkPayload(in *invokeInput) ([]byte, error) {
	most, name := mostPayload, "InvokeFunction"
	if in.InvocationType == "Event" {
		most = mostEventPayload
	}
	if len(in.Payload) > most {
		return nil, wire.Errorf("RequestTooLargeException", "Request must be smaller than %d bytes for the %s operation", most, name)
	}
	if len(bytes.TrimSpace(in.Payload)) == 0 {
		return []byte("{}"), nil
	}
	var raw json.RawMessage
	if err := json.Unmarshal(in.Payload, &raw); err != nil {
		return nil, wire.Errorf("InvalidRequestContentException", "Could not parse request body into json: Could not parse payload into json: %v", err)
	}
	if _, err := base64.StdEncoding.DecodeString(in.ClientContext); err != nil {
		return nil, wire.Errorf("InvalidRequestContentException", "Client context must be a valid Base64-encoded JSON object.")
	}
	return in.Payload, nil
}

// target is the version that a request is for: of an alias with weights, one of two.
func (s *Service) target(ctx context.Context, region string, w which) (function, *version, error) {
	f, err := s.settled(ctx, region, w)
	if err != nil {
		return f, nil, err
	}
	number := w.qualifier
	if a := f.alias(w.qualifier); a != nil {
		number = a.Version
		at := rand.Float64()
		for second, weight := range a.Weights {
			if at < weight {
				number = second
			}
		}
	}
	v := f.find(number)
	if v == nil {
		return f, nil, s.noFunction(region, w)
	}
	return f, v, nil
}

// request is one run of a function.
type request struct {
	region, qualifier, id string
	f                     *function
	v                     *version
	payload               []byte
	clientContext         string
	joins                 string // the name of one that may be asked for again
}

// outcome is how a run ended.
type outcome struct {
	cloud.InvocationResult
	tail []byte // of its log
}

// tailBytes is how much of a log its tail is.
const tailBytes = 4 << 10

// run runs a version once. Errors: those of AWS for what could not run.
func (s *Service) run(ctx context.Context, q request) (outcome, error) {
	in, group, err := s.invocation(ctx, q)
	if err != nil {
		return outcome{}, err
	}
	w := &logWriter{s: s, region: q.region, group: group}
	s.mu.Lock()
	s.atOnce[in.Function]++
	atOnce := s.atOnce[in.Function]
	s.mu.Unlock()
	stop := w.begin(ctx)
	r, err := s.Functions.Invoke(ctx, q.region, in, w.add)
	stop()
	s.mu.Lock()
	if s.atOnce[in.Function]--; s.atOnce[in.Function] == 0 {
		delete(s.atOnce, in.Function)
	}
	s.mu.Unlock()
	if err != nil {
		return outcome{}, s.notRun(err)
	}
	s.measure(ctx, q, r, atOnce)
	if r.Throttled != "" {
		e := wire.Errorf("TooManyRequestsException", "Rate Exceeded.")
		e.Members = map[string]any{"Reason": r.Throttled, "Type": "User"}
		return outcome{}, e
	}
	return outcome{r, w.tail}, nil
}

// notRun is the error of AWS for a request that the region did not carry out.
func (s *Service) notRun(err error) error {
	switch problem.CodeOf(err) {
	case problem.Precondition:
		return wire.Errorf("InvalidRuntimeException", "%s", err.Error())
	case problem.Unavailable:
		s.Log.Warn("a function could not be run, or its outcome is not known", "error", err)
		return &wire.Error{Code: "ServiceException", Status: http.StatusInternalServerError, Message: "The region that runs the function does not answer, or ended while it ran."}
	}
	return err
}

func (s *Service) measure(ctx context.Context, q request, r cloud.InvocationResult, atOnce int) {
	if s.Used == nil {
		return
	}
	u := Usage{Function: q.f.Name, Resource: q.f.Name, Duration: r.Duration, Failed: r.Failed, Throttled: r.Throttled != "", AtOnce: atOnce}
	if q.qualifier != "" {
		u.Resource += ":" + q.qualifier
	}
	if q.f.alias(q.qualifier) != nil {
		u.Version = q.v.Number
	}
	s.Used(context.WithoutCancel(ctx), q.region, u)
}

// sessionLasts is how long the credentials of an environment last: longer than an
// environment and its last request.
const sessionLasts = 12 * time.Hour

// invocation is what the region is asked for.
func (s *Service) invocation(ctx context.Context, q request) (in cloud.Invocation, group string, err error) {
	env, err := s.env(ctx, q.v)
	if err != nil {
		return in, "", err
	}
	settings := q.v.Settings
	group = settings.Inner("LoggingConfig").Text("LogGroup")
	all := map[string]string{"AWS_ENDPOINT_URL": s.Endpoint(), "AWS_EC2_METADATA_DISABLED": "true"}
	for name, value := range env {
		all[name] = value
	}
	runtime := settings.Text("Runtime")
	for name, value := range map[string]string{
		"AWS_REGION": q.region, "AWS_DEFAULT_REGION": q.region, "AWS_LAMBDA_FUNCTION_NAME": q.f.Name, "AWS_LAMBDA_FUNCTION_VERSION": q.v.Number,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": number(q.v.memory()), "AWS_LAMBDA_LOG_GROUP_NAME": group, "AWS_EXECUTION_ENV": "AWS_Lambda_" + runtime,
	} {
		all[name] = value
	}
	key, err := s.Session(settings.Text("Role"), q.f.Name, s.Now().Add(sessionLasts))
	if err != nil {
		return in, "", err
	}
	handler := settings.Text("Handler")
	if handler == "" {
		handler = "bootstrap" // a program of its own may do without one
	}
	in = cloud.Invocation{
		ID: q.id, Joins: q.joins, Function: s.arn(q.region, q.f.Name, ""), Version: q.v.Number, ARN: s.arn(q.region, q.f.Name, q.qualifier),
		Workload: cloud.Function{Artifact: q.v.Code, Handler: handler, Runtime: runtime, Memory: q.v.memory(), Timeout: q.v.timeout()},
		Env:      all, Session: map[string]string{"AWS_ACCESS_KEY_ID": key.Key, "AWS_SECRET_ACCESS_KEY": key.Secret, "AWS_SESSION_TOKEN": key.Token},
		Payload: q.payload, Trace: newTrace(s.Now()), Reserved: q.f.Reserved,
	}
	if raw, err := base64.StdEncoding.DecodeString(q.clientContext); err == nil {
		in.ClientContext = string(raw)
	}
	for _, l := range q.v.Layers {
		in.Layers = append(in.Layers, l.Code)
	}
	return in, group, nil
}

// newTrace is the identifier of a trace that is not recorded.
func newTrace(now time.Time) string {
	id := carry.NewUUID()
	hex := bytes.ReplaceAll([]byte(id), []byte("-"), nil)
	return "Root=1-" + stampHex(now) + "-" + string(hex[:24]) + ";Parent=" + string(hex[16:32]) + ";Sampled=0"
}

func stampHex(now time.Time) string {
	const digits = "0123456789abcdef"
	n := uint32(now.Unix())
	var out [8]byte
	for i := range out {
		out[7-i] = digits[n&15]
		n >>= 4
	}
	return string(out[:])
}

// logWriter puts the lines of one run into CloudWatch Logs, those of half a second together.
type logWriter struct {
	s             *Service
	region, group string
	tail          []byte

	mu     sync.Mutex
	stream string
	lines  []logs.Line
}

// logEvery is how often the lines of a run that goes on are put.
const logEvery = 500 * time.Millisecond

// begin puts lines while the run goes on; stop puts the last ones.
func (w *logWriter) begin(ctx context.Context) (stop func()) {
	ctx = context.WithoutCancel(ctx)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(logEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				w.flush(ctx)
			case <-done:
				return
			}
		}
	}()
	return func() {
		close(done)
		<-ended
		w.flush(ctx)
	}
}

func (w *logWriter) add(l cloud.LogLines) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stream = l.Stream
	for _, line := range l.Lines {
		w.tail = append(w.tail, line.Text...)
		w.lines = append(w.lines, logs.Line{At: line.At, Text: string(bytes.TrimRight([]byte(line.Text), "\n"))})
	}
	w.tail = w.tail[max(len(w.tail)-tailBytes, 0):]
}

func (w *logWriter) flush(ctx context.Context) {
	w.mu.Lock()
	lines, stream := w.lines, w.stream
	w.lines = nil
	w.mu.Unlock()
	lines = withText(lines)
	if len(lines) == 0 {
		return
	}
	if err := w.s.Logs.Append(ctx, w.region, w.group, stream, lines); err != nil {
		w.s.Log.Warn("lines of a function are not in its log", "group", w.group, "lines", len(lines), "error", err)
	}
}

// withText leaves out empty lines, which are no log events.
func withText(lines []logs.Line) []logs.Line {
	kept := lines[:0]
	for _, l := range lines {
		if l.Text != "" {
			kept = append(kept, l)
		}
	}
	return kept
}
