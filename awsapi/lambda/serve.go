package lambda

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"showrunner/awsapi/carry"
	"showrunner/awsapi/signature"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// Verify verifies a request's signature.
type Verify func(r *http.Request, body []byte) (signature.Scope, error)

// Open is what answers a request that needs no signature of AWS's API: one for the
// address of a function, or a link to code. nil for every other request.
func (s *Service) Open(r *http.Request) http.Handler {
	if strings.HasPrefix(r.URL.Path, codePath) && r.Method == http.MethodGet && signature.Loopback(r.Host) == nil {
		return http.HandlerFunc(s.serveCode)
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	for _, region := range s.Regions {
		if id, ok := strings.CutSuffix(strings.ToLower(host), urlHost(region)); ok {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serveURL(w, r, id) })
		}
	}
	return nil
}

// say answers with one of Lambda's own messages.
func say(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"Message": message}) // the client may have gone
}

// serveURL answers a request to a function's address.
func (s *Service) serveURL(w http.ResponseWriter, r *http.Request, id string) {
	requestID := carry.NewUUID()
	w.Header().Set("X-Amzn-Requestid", requestID)
	a, err := s.urls.Get(r.Context(), id)
	if err != nil {
		if problem.CodeOf(err) == problem.NotFound {
			say(w, http.StatusForbidden, "Forbidden")
			return
		}
		say(w, http.StatusServiceUnavailable, "Service Unavailable")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostPayload))
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		say(w, http.StatusRequestEntityTooLarge, "Request Too Long")
		return
	case err != nil:
		return // the client has gone
	}
	var scope signature.Scope
	if a.Auth == "AWS_IAM" {
		if s.Verify == nil {
			say(w, http.StatusForbidden, "Forbidden")
			return
		}
		if scope, err = s.Verify(r, body); err != nil || scope.Service != "lambda" {
			say(w, http.StatusForbidden, "Forbidden")
			return
		}
	}
	if cors(w, r, a.Cors) {
		return
	}
	s.callURL(w, r, a, requestID, s.urlEvent(r, a, body, requestID, scope))
}

// callURL runs the function and answers as it says.
func (s *Service) callURL(w http.ResponseWriter, r *http.Request, a address, id string, event object) {
	payload, err := json.Marshal(event)
	if err != nil || len(payload) > mostPayload {
		say(w, http.StatusRequestEntityTooLarge, "Request Too Long")
		return
	}
	f, v, err := s.target(r.Context(), a.Region, which{a.Function, a.Qualifier})
	var result outcome
	if err == nil {
		result, err = s.run(r.Context(), request{region: a.Region, f: &f, v: v, qualifier: a.Qualifier, id: id, payload: payload})
	}
	switch {
	case wire.CodeOf(err) == "TooManyRequestsException":
		say(w, http.StatusTooManyRequests, "Rate Exceeded.")
	case wire.CodeOf(err) == "ResourceNotFoundException":
		say(w, http.StatusNotFound, "Not Found")
	case err != nil:
		s.Log.Warn("a request to the address of a function was not answered", "function", a.Function, "error", err)
		say(w, http.StatusServiceUnavailable, "Service Unavailable")
	case result.Failed:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "Internal Server Error") // the client may have gone
	default:
		answerURL(w, result.Payload)
	}
}

// urlEvent is a request as a function gets it: the payload format 2.0.
func (s *Service) urlEvent(r *http.Request, a address, body []byte, id string, scope signature.Scope) object {
	now := s.Now().UTC()
	host := a.ID + urlHost(a.Region)
	headers := object{"host": r.Host, "x-forwarded-proto": "http", "x-forwarded-port": portOf(r.Host)}
	ip, _, _ := net.SplitHostPort(r.RemoteAddr)
	headers["x-forwarded-for"] = ip
	for name, values := range r.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	context := object{
		"accountId": "anonymous", "apiId": a.ID, "domainName": host, "domainPrefix": a.ID, "requestId": id, "routeKey": "$default", "stage": "$default",
		"time": now.Format("02/Jan/2006:15:04:05 +0000"), "timeEpoch": now.UnixMilli(),
		"http": object{"method": r.Method, "path": r.URL.EscapedPath(), "protocol": r.Proto, "sourceIp": ip, "userAgent": r.UserAgent()},
	}
	if a.Auth == "AWS_IAM" {
		context["accountId"] = s.Account
		context["authorizer"] = object{"iam": object{"accessKey": scope.Key, "accountId": s.Account, "callerId": scope.Key, "cognitoIdentity": nil, "principalOrgId": nil, "userArn": scope.Caller, "userId": scope.Key}}
	}
	out := object{"version": "2.0", "routeKey": "$default", "rawPath": r.URL.EscapedPath(), "rawQueryString": r.URL.RawQuery, "headers": headers, "requestContext": context, "isBase64Encoded": false}
	if cookies := r.Cookies(); len(cookies) > 0 {
		list := make([]string, len(cookies))
		for n, c := range cookies {
			list[n] = c.Name + "=" + c.Value
		}
		out["cookies"] = list
	}
	if query, _ := url.ParseQuery(r.URL.RawQuery); len(query) > 0 {
		texts := object{}
		for name, values := range query {
			texts[name] = strings.Join(values, ",")
		}
		out["queryStringParameters"] = texts
	}
	if len(body) > 0 {
		if isText(r.Header.Get("Content-Type")) && utf8.Valid(body) {
			out["body"] = string(body)
		} else {
			out["body"], out["isBase64Encoded"] = base64.StdEncoding.EncodeToString(body), true
		}
	}
	return out
}

func portOf(host string) string {
	if _, port, err := net.SplitHostPort(host); err == nil {
		return port
	}
	return "80"
}

// isText says whether a body of this type is handed over as text.
func isText(kind string) bool {
	kind, _, _ = mime.ParseMediaType(kind)
	return strings.HasPrefix(kind, "text/") || slices.Contains([]string{"application/json", "application/javascript", "application/xml"}, kind)
}

// urlAnswer is what a function may answer.
type urlAnswer struct {
	StatusCode      *json.Number    `json:"statusCode"`
	Headers         map[string]any  `json:"headers"`
	Cookies         []string        `json:"cookies"`
	Body            json.RawMessage `json:"body"`
	IsBase64Encoded bool            `json:"isBase64Encoded"`
}

// answerURL writes what a function has answered: its answer with a status, or, without
// one, its answer as it is.
func answerURL(w http.ResponseWriter, payload []byte) {
	var a urlAnswer
	if json.Unmarshal(payload, &a) != nil || a.StatusCode == nil {
		w.Header().Set("Content-Type", "application/json")
		if bytes.Equal(payload, []byte("null")) {
			payload = nil
		}
		_, _ = w.Write(payload) // the client may have gone
		return
	}
	status, err := strconv.Atoi(a.StatusCode.String())
	body, readable := bodyOf(a)
	if err != nil || status < 100 || status > 599 || !readable {
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "Internal Server Error") // the client may have gone
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	for name, value := range a.Headers {
		switch v := value.(type) {
		case string:
			h.Set(name, v)
		case bool, float64:
			text, _ := json.Marshal(v) // numbers and booleans always can
			h.Set(name, string(text))
		}
	}
	for _, c := range a.Cookies {
		h.Add("Set-Cookie", c)
	}
	h.Del("Content-Length")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have gone
}

// bodyOf is the body of an answer; false when it is not what the answer says.
func bodyOf(a urlAnswer) ([]byte, bool) {
	if len(a.Body) == 0 || bytes.Equal(a.Body, []byte("null")) {
		return nil, true
	}
	var text string
	if json.Unmarshal(a.Body, &text) != nil {
		return a.Body, true // an object is its own text
	}
	if !a.IsBase64Encoded {
		return []byte(text), true
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	return raw, err == nil
}

// cors adds what an address says about other origins, and answers the browser's question.
func cors(w http.ResponseWriter, r *http.Request, c object) (answered bool) {
	origin := r.Header.Get("Origin")
	if len(c) == 0 || origin == "" {
		return false
	}
	origins := c.Texts("AllowOrigins")
	if !slices.Contains(origins, "*") && !slices.Contains(origins, origin) {
		return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", origin)
	if slices.Contains(origins, "*") && !c.Is("AllowCredentials") {
		h.Set("Access-Control-Allow-Origin", "*")
	}
	h.Add("Vary", "Origin")
	if c.Is("AllowCredentials") {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	if list := c.Texts("ExposeHeaders"); len(list) > 0 {
		h.Set("Access-Control-Expose-Headers", strings.Join(list, ","))
	}
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	if list := c.Texts("AllowMethods"); len(list) > 0 {
		h.Set("Access-Control-Allow-Methods", strings.Join(list, ","))
	}
	if list := c.Texts("AllowHeaders"); len(list) > 0 {
		h.Set("Access-Control-Allow-Headers", strings.Join(list, ","))
	}
	if c.Has("MaxAge") {
		h.Set("Access-Control-Max-Age", strconv.Itoa(c.Number("MaxAge", 0)))
	}
	w.WriteHeader(http.StatusOK)
	return true
}
