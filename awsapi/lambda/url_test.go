package lambda_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"showrunner/awsapi/awstest"
	"showrunner/cloud"
)

// open sends a request to an address of a function, whose name is its Host.
func (w *world) open(url, method, path, body string, header ...string) awstest.Answer {
	w.t.Helper()
	host := strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/")
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.URL()+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Host = host
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return w.Do(r)
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.create("f")
	url := w.call("CreateFunctionUrlConfig", object{"FunctionName": "f", "AuthType": "NONE"})["FunctionUrl"].(string)
	if !strings.HasPrefix(url, "http://") || !strings.Contains(url, ".lambda-url.us-west-2.localhost:") {
		t.Fatal(url)
	}
	w.refused("CreateFunctionUrlConfig", object{"FunctionName": "f", "AuthType": "NONE"}, "ResourceConflictException", "FunctionUrlConfig exists for this Lambda function")
	var event struct {
		Version, RawPath, RawQueryString, Body string
		Cookies                                []string
		Headers, QueryStringParameters         map[string]string
		IsBase64Encoded                        bool
		RequestContext                         struct {
			AccountID, DomainPrefix string
			HTTP                    struct{ Method, Path, UserAgent string }
		}
	}
	answer := "{}"
	w.runner.set(func(in cloud.Invocation) (cloud.InvocationResult, error) {
		event.Headers = nil
		if err := json.Unmarshal(in.Payload, &event); err != nil {
			t.Error(err)
		}
		return cloud.InvocationResult{Payload: []byte(answer)}, nil
	})
	answer = `{"statusCode":201,"headers":{"X-Mine":"yes","content-type":"text/plain"},"cookies":["a=1","b=2"],"body":"aGk=","isBase64Encoded":true}`
	r := w.open(url, http.MethodPost, "/a%20b/c?x=1&x=2&y=%26", `{"k":1}`, "Content-Type", "application/json", "Cookie", "c=3; d=4", "User-Agent", "me")
	if r.Status != 201 || r.Body != "hi" || r.Header.Get("X-Mine") != "yes" || r.Header.Get("Content-Type") != "text/plain" || strings.Join(r.Header.Values("Set-Cookie"), " ") != "a=1 b=2" {
		t.Errorf("%+v", r)
	}
	if event.Version != "2.0" || event.RawPath != "/a%20b/c" || event.RawQueryString != "x=1&x=2&y=%26" || event.QueryStringParameters["x"] != "1,2" || event.QueryStringParameters["y"] != "&" ||
		event.Body != `{"k":1}` || event.IsBase64Encoded || strings.Join(event.Cookies, " ") != "c=3 d=4" || event.RequestContext.HTTP.Method != "POST" || event.RequestContext.HTTP.UserAgent != "me" || event.RequestContext.AccountID != "anonymous" {
		t.Errorf("%+v", event)
	}
	w.open(url, http.MethodPut, "/", "\xff\x00", "Content-Type", "image/png")
	if event.Body != "/wA=" || !event.IsBase64Encoded {
		t.Errorf("bytes: %+v", event)
	}
	for given, want := range map[string]string{`"text"`: `"text"`, `{"a":1}`: `{"a":1}`, `null`: "", `[1]`: "[1]"} {
		answer = given
		if r := w.open(url, http.MethodGet, "/", ""); r.Status != 200 || r.Body != want || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %+v", given, r)
		}
	}
	for _, bad := range []string{`{"statusCode":9}`, `{"statusCode":200,"body":"%%","isBase64Encoded":true}`} {
		answer = bad
		if r := w.open(url, http.MethodGet, "/", ""); r.Status != 502 {
			t.Errorf("%s: %+v", bad, r)
		}
	}
	w.runner.set(failing)
	if r := w.open(url, http.MethodGet, "/", ""); r.Status != 502 || r.Body != "Internal Server Error" {
		t.Errorf("a failure: %+v", r)
	}
	w.runner.set(func(cloud.Invocation) (cloud.InvocationResult, error) {
		return cloud.InvocationResult{Throttled: cloud.ThrottledByRegion}, nil
	})
	if r := w.open(url, http.MethodGet, "/", ""); r.Status != 429 {
		t.Errorf("throttled: %+v", r)
	}
	if r := w.open("http://none.lambda-url.us-west-2.localhost/", http.MethodGet, "/", ""); r.Status != 403 {
		t.Errorf("an address of nothing: %+v", r)
	}
	// The API is not reached by that name without a signature.
	if r := w.open(url, http.MethodGet, "/2015-03-31/functions/", ""); r.Object()["Functions"] != nil {
		t.Errorf("%+v", r)
	}
	w.call("UpdateFunctionUrlConfig", object{"FunctionName": "f", "AuthType": "AWS_IAM"})
	w.runner.set(nil)
	if r := w.open(url, http.MethodGet, "/", ""); r.Status != 403 || len(w.runner.all()) != 0 {
		t.Errorf("unsigned: %+v", r)
	}
	w.call("DeleteFunctionUrlConfig", object{"FunctionName": "f"})
	w.refused("GetFunctionUrlConfig", object{"FunctionName": "f"}, "ResourceNotFoundException", "does not exist")
}

func TestAddressesAnswerOtherOrigins(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.create("f")
	url := w.call("CreateFunctionUrlConfig", object{"FunctionName": "f", "AuthType": "NONE", "Cors": object{"AllowOrigins": []any{"https://a"}, "AllowMethods": []any{"GET"}, "MaxAge": 5}})["FunctionUrl"].(string)
	r := w.open(url, http.MethodOptions, "/", "", "Origin", "https://a", "Access-Control-Request-Method", "GET")
	if r.Status != 200 || r.Header.Get("Access-Control-Allow-Origin") != "https://a" || r.Header.Get("Access-Control-Allow-Methods") != "GET" || r.Header.Get("Access-Control-Max-Age") != "5" || len(w.runner.all()) != 0 {
		t.Errorf("%+v", r)
	}
	if r := w.open(url, http.MethodGet, "/", "", "Origin", "https://b"); r.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("another origin: %+v", r)
	}
}

// An address goes with its function.
func TestADeletedFunctionHasNoAddress(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.create("f")
	url := w.call("CreateFunctionUrlConfig", object{"FunctionName": "f", "AuthType": "NONE"})["FunctionUrl"].(string)
	w.call("DeleteFunction", object{"FunctionName": "f"})
	w.create("f")
	if r := w.open(url, http.MethodGet, "/", ""); r.Status != 403 {
		t.Errorf("%+v", r)
	}
}
