package api

import (
	"context"
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"showrunner/chaos/gameday"
	"showrunner/control"
	"showrunner/pipeline"
)

// Config is what the API serves.
type Config struct {
	Control *control.Service
	Auth    *Auth
	Version string
	// MayDecide is asked before a decision on an approval is taken.
	MayDecide control.MayDecide
	// Edge is where people find sites and services, host:port.
	Edge string
	// Backup writes everything durable, as of one moment.
	Backup func(ctx context.Context, w io.Writer) error
}

// Server is the API.
type Server struct {
	Config
	mux *http.ServeMux
	api huma.API
}

// New makes the API. Its handler serves /api/, /openapi.json, /openapi.yaml and /schemas/.
func New(c Config) *Server {
	s := &Server{Config: c, mux: http.NewServeMux()}
	hc := huma.DefaultConfig("Showrunner", c.Version)
	hc.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	for _, t := range []reflect.Type{reflect.TypeFor[pipeline.Pipeline](), reflect.TypeFor[pipeline.Health](), reflect.TypeFor[pipeline.ScalingPolicy](), reflect.TypeFor[pipeline.LifecycleHook](), reflect.TypeFor[pipeline.MetricsEndpoint](), reflect.TypeFor[pipeline.Analysis]()} {
		// The language's own tags mean other things than huma's, and it has a schema of its own.
		hc.Components.Schemas.RegisterTypeAlias(t, reflect.TypeFor[languageObject]())
	}
	for _, t := range []reflect.Type{reflect.TypeFor[pipeline.Duration](), reflect.TypeFor[time.Duration]()} {
		hc.Components.Schemas.RegisterTypeAlias(t, reflect.TypeFor[durationText]())
	}
	hc.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[gameday.Seconds](), reflect.TypeFor[secondsNumber]())
	hc.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[huma.ErrorModel](), reflect.TypeFor[Problem]())
	hc.Transformers = append(hc.Transformers, frameworkProblem)
	hc.Info.Description = "Pipelines, executions, clusters, sites and events. Every operation needs the token of the data folder as a bearer."
	hc.DocsPath = "" // the pages under /docs are ours, without scripts from elsewhere
	hc.OpenAPIPath = "/openapi"
	hc.SchemasPath = ""
	hc.CreateHooks = nil
	hc.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	hc.Security = []map[string][]string{{"token": {}}}
	s.api = humago.New(s.mux, hc)
	s.applications()
	s.executions()
	s.fleet()
	s.operations()
	s.chaos()
	s.subscriptions()
	s.notifications()
	s.streams()
	return s
}

// languageObject stands for a part of a pipeline file in the description.
type languageObject struct{}

// Schema implements huma.SchemaProvider.
func (languageObject) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Description: "as in the pipeline file; see `showrunner schema`"}
}

// durationText stands for a duration in the description.
type durationText struct{}

// Schema implements huma.SchemaProvider.
func (durationText) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Description: "a duration as in the pipeline file", Examples: []any{"10s"}}
}

// secondsNumber stands for a length of time in a report of a game day.
type secondsNumber struct{}

// Schema implements huma.SchemaProvider.
func (secondsNumber) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeNumber, Description: "a length of time in seconds", Examples: []any{0.08}}
}

// schemaName keeps types of the same name in different packages apart.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := huma.DefaultSchemaNamer(t, hint)
	if pkg := t.PkgPath(); t.Name() != "" && pkg != "" {
		part := pkg[strings.LastIndexByte(pkg, '/')+1:]
		name = strings.ToUpper(part[:1]) + part[1:] + name
	}
	return name
}

// ServeHTTP implements http.Handler; the caller has put Auth.Host before it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/openapi") {
		s.mux.ServeHTTP(w, r) // the description is no secret
		return
	}
	s.Auth.Require(http.HandlerFunc(s.route)).ServeHTTP(w, r)
}

// OpenAPI is the description as JSON.
func (s *Server) OpenAPI() ([]byte, error) { return s.api.OpenAPI().MarshalJSON() }

// operation is the common part of a description.
func operation(method, path, id, summary string, status int) huma.Operation {
	return huma.Operation{Method: method, Path: "/api/v1" + path, OperationID: id, Summary: summary, DefaultStatus: status,
		MaxBodyBytes: pipeline.MaxFileSize + 1<<20, Tags: []string{strings.SplitN(id, "-", 3)[len(strings.SplitN(id, "-", 3))-1]}}
}

// body wraps a result for huma.
type body[T any] struct{ Body T }

func answer[T any](v T, err error) (*body[T], error) {
	if err != nil {
		return nil, problemOf(err)
	}
	return &body[T]{v}, nil
}

// none is the answer of an operation that says nothing but "done".
type none struct{}

func done(err error) (*none, error) {
	if err != nil {
		return nil, problemOf(err)
	}
	return &none{}, nil
}
