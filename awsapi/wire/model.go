package wire

import (
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
)

//go:embed apis/*.json
var modelFiles embed.FS

// Model is one service's API: its protocol, operations and shapes.
type Model struct {
	Metadata struct {
		APIVersion    string `json:"apiVersion"`
		Protocol      string `json:"protocol"` // query, ec2, json or rest-json
		JSONVersion   string `json:"jsonVersion"`
		TargetPrefix  string `json:"targetPrefix"`
		XMLNamespace  string `json:"xmlNamespace"`
		SigningName   string `json:"signingName"`
		EndpointName  string `json:"endpointPrefix"`
		ServiceID     string `json:"serviceId"`
		QueryCompared bool   `json:"-"` // its JSON errors carry the code of the query protocol too
	} `json:"metadata"`
	Operations map[string]*Operation `json:"operations"`
	Shapes     map[string]*Shape     `json:"shapes"`

	byCode map[string]*Shape // exceptions, by the code that clients see
}

// Operation is one call of a service.
type Operation struct {
	Name string `json:"name"`
	HTTP struct {
		Method string `json:"method"`
		Path   string `json:"requestUri"` // with {Member} and {Member+}
		Status int    `json:"responseCode"`
	} `json:"http"`
	Input  *Ref  `json:"input"`
	Output *Ref  `json:"output"`
	Errors []Ref `json:"errors"`

	route *regexp.Regexp // of rest-json
	names []string       // of the groups of route
	query url.Values     // that tells the operation from others of its path
}

// Ref is a use of a shape, with what the use adds.
type Ref struct {
	Shape            string `json:"shape"`
	Location         string `json:"location"` // "", uri, querystring, header, headers, statusCode
	LocationName     string `json:"locationName"`
	QueryName        string `json:"queryName"`
	ResultWrapper    string `json:"resultWrapper"`
	Streaming        bool   `json:"streaming"`
	Flattened        bool   `json:"flattened"`
	TimestampFormat  string `json:"timestampFormat"`
	IdempotencyToken bool   `json:"idempotencyToken"`
}

// Shape is a type of the model.
type Shape struct {
	Name            string          `json:"-"`
	Type            string          `json:"type"`
	Members         map[string]*Ref `json:"members"`
	Required        []string        `json:"required"`
	Member          *Ref            `json:"member"`
	Key             *Ref            `json:"key"`
	Value           *Ref            `json:"value"`
	Flattened       bool            `json:"flattened"`
	LocationName    string          `json:"locationName"`
	Payload         string          `json:"payload"`
	TimestampFormat string          `json:"timestampFormat"`
	Enum            []string        `json:"enum"`
	Min             *float64        `json:"min"`
	Max             *float64        `json:"max"`
	Pattern         string          `json:"pattern"`
	Exception       bool            `json:"exception"`
	Fault           bool            `json:"fault"`
	EventStream     bool            `json:"eventstream"`
	Error           *struct {
		Code        string `json:"code"`
		Status      int    `json:"httpStatusCode"`
		SenderFault bool   `json:"senderFault"`
	} `json:"error"`

	order []string // the members' names, sorted
}

// Services are the names of the models, as AWS's own folders have them, sorted.
func Services() []string {
	return []string{"application-autoscaling", "autoscaling", "cloudformation", "codebuild", "codepipeline", "ec2", "ecs", "elasticloadbalancingv2", "iam", "kinesis", "lambda", "logs", "monitoring", "secretsmanager", "ssm", "sts"}
}

// loaded are the models that were asked for. A model is read when its service is
// first used: most control planes serve a few of them.
var loaded = func() map[string]func() (*Model, error) {
	m := map[string]func() (*Model, error){}
	for _, name := range Services() {
		m[name] = sync.OnceValues(func() (*Model, error) { return load(name) })
	}
	return m
}()

// Load is the model of a service.
func Load(service string) (*Model, error) {
	get := loaded[service]
	if get == nil {
		return nil, fmt.Errorf("there is no model of %q", service)
	}
	return get()
}

func load(name string) (*Model, error) {
	text, err := modelFiles.ReadFile("apis/" + name + ".json")
	if err != nil {
		return nil, err
	}
	m := &Model{byCode: map[string]*Shape{}}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("the model of %s: %w", name, err)
	}
	for _, n := range slices.Sorted(maps.Keys(m.Shapes)) {
		s := m.Shapes[n]
		s.Name = n
		for member := range s.Members {
			s.order = append(s.order, member)
		}
		slices.Sort(s.order)
		// Of several exceptions with one code the one of that name stands for it.
		if s.Exception && (m.byCode[s.code()] == nil || n == s.code()) {
			m.byCode[s.code()] = s
		}
	}
	for _, o := range m.Operations {
		path, query, _ := strings.Cut(o.HTTP.Path, "?")
		o.route, o.names = route(path)
		o.query, _ = url.ParseQuery(query) // of a committed model
	}
	if name == "monitoring" {
		// The model knows the query protocol alone; today's clients speak JSON and CBOR.
		m.Metadata.TargetPrefix, m.Metadata.JSONVersion, m.Metadata.QueryCompared = "GraniteServiceVersion20100801", "1.0", true
	}
	return m, nil
}

// code is what clients call an exception.
func (s *Shape) code() string {
	if s.Error != nil && s.Error.Code != "" {
		return s.Error.Code
	}
	return s.Name
}

// of is the shape that a use names. The models are complete: a test walks them.
func (m *Model) of(r *Ref) *Shape { return m.Shapes[r.Shape] }

// SigningName is the service's name in the scope of a signature.
func (m *Model) SigningName() string {
	if m.Metadata.SigningName != "" {
		return m.Metadata.SigningName
	}
	return m.Metadata.EndpointName
}

var parameter = regexp.MustCompile(`\{([A-Za-z0-9_-]+)(\+?)\}`)

// route makes the pattern of a rest path and names its parts.
func route(path string) (*regexp.Regexp, []string) {
	path, _, _ = strings.Cut(path, "?")
	var pattern strings.Builder
	var names []string
	rest := path
	for {
		at := parameter.FindStringSubmatchIndex(rest)
		if at == nil {
			break
		}
		pattern.WriteString(regexp.QuoteMeta(rest[:at[0]]))
		names = append(names, rest[at[2]:at[3]])
		if at[4] != at[5] {
			pattern.WriteString("(.+)")
		} else {
			pattern.WriteString("([^/]+)")
		}
		rest = rest[at[1]:]
	}
	// Clients leave the slash at the end out, whatever the model of this version says.
	pattern.WriteString(regexp.QuoteMeta(strings.TrimSuffix(rest, "/")))
	return regexp.MustCompile("^" + pattern.String() + "/?$"), names
}
