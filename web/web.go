package web

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"html/template"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"showrunner/api"
	"showrunner/chaos/experiment"
	"showrunner/chaos/gameday"
	"showrunner/cloud"
	"showrunner/control"
	"showrunner/control/lastknown"
	"showrunner/execution"
	"showrunner/execution/stagelog"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/store/record"
	"showrunner/subscription"
)

//go:embed assets/*.js assets/*.css
var assets embed.FS

//go:embed templates/*.html
var templates embed.FS

// Control is what the pages ask for and change; *control.Service implements it.
type Control interface {
	Applications(ctx context.Context, p control.Principal) ([]control.Application, error)
	Application(ctx context.Context, p control.Principal, name string) (control.Application, error)
	Check(ctx context.Context, f control.File) (*pipeline.Document, pipeline.Diagnostics)
	Apply(ctx context.Context, p control.Principal, f control.File, version int64) (control.Applied, error)
	RepositoryFile(ctx context.Context, p control.Principal, application string) (control.RepositoryFile, error)
	Executions(ctx context.Context, p control.Principal, q execution.Query) (execution.Page, error)
	Execution(ctx context.Context, p control.Principal, id string) (execution.Execution, error)
	Run(ctx context.Context, p control.Principal, r control.RunRequest) (execution.Execution, bool, error)
	Cancel(ctx context.Context, p control.Principal, id, reason string) error
	PlanRestart(ctx context.Context, p control.Principal, id, stage string) (control.RestartPlan, error)
	Restart(ctx context.Context, p control.Principal, id, stage string) error
	ReviewApproval(ctx context.Context, p control.Principal, id, stage string) (control.Review, error)
	Decide(ctx context.Context, p control.Principal, id, stage string, d control.Decision, may control.MayDecide) error
	Signal(ctx context.Context, p control.Principal, id, stage, name string, data json.RawMessage) error
	Verdicts(ctx context.Context, p control.Principal, id, stage string) (control.CanaryVerdicts, error)
	StageLog(ctx context.Context, p control.Principal, r control.LogRequest, w io.Writer) error
	LogTimes(ctx context.Context, p control.Principal, r control.LogRequest, to int64) ([]stagelog.Written, error)
	SearchLog(ctx context.Context, p control.Principal, r control.LogSearch) (control.LogMatches, error)
	Regions(ctx context.Context, p control.Principal) ([]control.RegionStatus, error)
	Clusters(ctx context.Context, p control.Principal, account, application, cluster string) ([]control.Cluster, error)
	ChangeCluster(ctx context.Context, p control.Principal, ch control.ClusterChange) ([]string, error)
	ChangeInstance(ctx context.Context, p control.Principal, id string, ch control.InstanceChange) error
	Missing(ctx context.Context, p control.Principal, application string) ([]control.Missing, error)
	Sites(ctx context.Context, p control.Principal) ([]control.SiteStatus, error)
	SiteDeployments(ctx context.Context, p control.Principal, account, site string) ([]cloud.SiteDeployment, error)
	Rollback(ctx context.Context, p control.Principal, r control.RollbackRequest) (execution.Execution, error)
	ListKept(ctx context.Context, p control.Principal, account, name string) ([]control.Kept, error)
	PreviewRollback(ctx context.Context, p control.Principal, r control.RollbackRequest) (lines []string, refused string, err error)
	ChaosLever(ctx context.Context, p control.Principal) (control.ChaosLever, error)
	StopChaos(ctx context.Context, p control.Principal, reason string) (control.ChaosLever, error)
	ReleaseChaos(ctx context.Context, p control.Principal) (control.ChaosLever, error)
	Faults(ctx context.Context, p control.Principal) ([]control.ChaosFault, error)
	UndoFault(ctx context.Context, p control.Principal, id string) (control.ChaosFault, error)
	MonkeySchedule(ctx context.Context, p control.Principal, application string) ([]control.MonkeyDay, error)
	MonkeyHistory(ctx context.Context, p control.Principal, application string, limit int) ([]control.ChaosKill, error)
	Experiments(ctx context.Context, p control.Principal) ([]experiment.Run, error)
	Experiment(ctx context.Context, p control.Principal, id string) (experiment.Run, error)
	PlanExperiment(ctx context.Context, p control.Principal, source string) (control.ExperimentPlan, error)
	StartExperiment(ctx context.Context, p control.Principal, source, key string) (experiment.Run, error)
	StopExperiment(ctx context.Context, p control.Principal, id string) (experiment.Run, error)
	Gamedays(ctx context.Context, p control.Principal) ([]gameday.Summary, error)
	Gameday(ctx context.Context, p control.Principal, id string) (gameday.Report, error)
	Instances(ctx context.Context, p control.Principal, application string, ended bool) ([]cloud.Instance, error)
	InstanceLog(ctx context.Context, p control.Principal, id string, follow bool, w io.Writer) error
	EdgeRegions(ctx context.Context, p control.Principal) ([]control.EdgeRegion, error)
	SetEdgeWeights(ctx context.Context, p control.Principal, weights map[string]*float64) ([]control.EdgeRegion, error)
	Drift(ctx context.Context, p control.Principal, account, application, cluster, site string) ([]control.Drift, error)
	Repair(ctx context.Context, p control.Principal, r control.RepairRequest) (control.Repaired, error)
	Freezes(ctx context.Context, p control.Principal) ([]control.Freeze, error)
	PutFreeze(ctx context.Context, p control.Principal, f control.Freeze, force bool) (control.Freeze, error)
	DeleteFreeze(ctx context.Context, p control.Principal, name string) error
	ListSecrets(ctx context.Context, p control.Principal) ([]control.SecretInfo, error)
	Subscriptions(ctx context.Context, p control.Principal) ([]subscription.Subscription, error)
	ResumeSubscription(ctx context.Context, p control.Principal, name string) error
	Deliveries(ctx context.Context, p control.Principal, application string, limit int) (json.RawMessage, error)
	Redeliver(ctx context.Context, p control.Principal, id string) (json.RawMessage, error)
	AWSImages(ctx context.Context, p control.Principal) ([]control.AWSImage, error)
	AWSRepositories(ctx context.Context, p control.Principal) ([]control.AWSRepository, error)
	Triggers(ctx context.Context, p control.Principal, application, pipeline string) ([]control.TriggerStatus, error)
	Events(ctx context.Context, p control.Principal, from int64, f record.Filter, limit int) (record.Slice, error)
	End(ctx context.Context) (int64, error)
}

// Config is what the pages are made of.
type Config struct {
	Control   Control
	Auth      *api.Auth
	MayDecide control.MayDecide
	Edge      string // where people find sites and services
	// AWS says where the endpoint for clients of AWS is; nil: nowhere.
	AWS func() (string, error)
	Log *slog.Logger
	Now func() time.Time
}

// Pages serves the pages.
type Pages struct {
	Config
	templates *template.Template
	mux       *http.ServeMux
	rates     rates
	facts     deploymentFacts
	picture   picture
}

// New makes the pages. It panics when a template is wrong, which a test finds first.
func New(c Config) *Pages {
	p := &Pages{Config: c, mux: http.NewServeMux()}
	p.templates = template.Must(template.New("").Funcs(functions(c.Now)).ParseFS(templates, "templates/*.html"))
	static, err := fs.Sub(assets, "assets")
	if err != nil {
		panic(err) // the folder is embedded
	}
	files := http.FileServerFS(static)
	p.mux.Handle("GET /assets/", http.StripPrefix("/assets/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		files.ServeHTTP(w, r)
	})))
	for pattern, handler := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /":                               p.missing,
		"GET /{$}":                            p.overview,
		"GET /executions":                     p.executions,
		"GET /executions/{id}":                p.execution,
		"GET /executions/{id}/stages/{stage}": p.log,
		"GET /executions/{id}/stages/{stage}/verdicts": p.verdicts,
		"GET /executions/{id}/older":                   p.older,
		"GET /executions/{id}/newer":                   p.newer,
		"GET /executions/{id}/cancel":                  p.previewCancel,
		"POST /executions/{id}/cancel":                 p.cancel,
		"GET /executions/{id}/stages/{stage}/restart":  p.previewRestart,
		"POST /executions/{id}/stages/{stage}/{do}":    p.stageAct,
		"GET /applications/{app}/{pipeline}/run":       p.runForm,
		"POST /applications/{app}/{pipeline}/run":      p.run,
		"GET /applications/{app}":                      p.application,
		"GET /applications/{app}/file":                 p.editor,
		"POST /applications/{app}/file":                p.applyFile,
		"POST /applications/{app}/file/check":          p.checkFile,
		"GET /apply":                                   p.editor,
		"POST /apply":                                  p.applyFile,
		"POST /apply/check":                            p.checkFile,
		"GET /clusters":                                p.clusters,
		"GET /clusters/changes":                        p.clusterChanges,
		"GET /clusters/{cluster}/change":               p.previewChange,
		"POST /clusters/{cluster}/change":              p.changeCluster,
		"POST /instances/{id}/terminate":               p.terminate,
		"GET /sites":                                   p.sites,
		"GET /sites/{site}/rollback":                   p.previewSiteRollback,
		"POST /rollbacks":                              p.rollback,
		"GET /chaos":                                   p.chaos,
		"POST /chaos/stop":                             p.stopChaos,
		"POST /chaos/release":                          p.releaseChaos,
		"POST /chaos/faults/{id}/undo":                 p.undoFault,
		"GET /chaos/experiments/new":                   p.newExperiment,
		"POST /chaos/experiments":                      p.startExperiment,
		"GET /chaos/experiments/{run}":                 p.experiment,
		"POST /chaos/experiments/{run}/stop":           p.stopExperiment,
		"GET /chaos/gamedays/{id}":                     p.gameday,
		"GET /activity":                                p.activity,
		"GET /instances/{id}":                          p.instance,
		"GET /traffic":                                 p.traffic,
		"GET /traffic/{region}/evacuate":               p.previewEvacuation,
		"POST /traffic/{region}/evacuate":              p.evacuate,
		"GET /drift":                                   p.drift,
		"POST /drift/repair":                           p.repair,
		"GET /settings":                                p.settings,
		"POST /settings/freezes":                       p.putFreeze,
		"POST /settings/freezes/{name}/delete":         p.deleteFreeze,
		"POST /settings/subscriptions/{name}/resume":   p.resumeSubscription,
		"GET /triggers":                                p.triggers,
		"POST /triggers/deliveries/{id}/redeliver":     p.redeliver,
		"GET /aws":                                     p.aws,
	} {
		p.mux.HandleFunc(pattern, p.page(handler))
	}
	return p
}

// ServeHTTP implements http.Handler; the caller has put Auth.Host before it.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	if strings.HasPrefix(r.URL.Path, "/assets/") {
		p.mux.ServeHTTP(w, r)
		return
	}
	h.Set("Cache-Control", "no-store")
	if _, ok := p.Auth.Identify(r); !ok {
		p.render(w, http.StatusUnauthorized, "signin", view{Title: "Sign in"})
		return
	}
	p.Auth.Require(p.mux).ServeHTTP(w, r)
}

// page turns a handler's error into a page that says what failed and what to do.
func (p *Pages) page(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		status := map[problem.Code]int{problem.Invalid: 400, problem.NotFound: 404, problem.Conflict: 409, problem.Denied: 403,
			problem.Precondition: 412, problem.Unavailable: 503}[problem.CodeOf(err)]
		if status == 0 {
			status = http.StatusInternalServerError
			if r.Context().Err() == nil { // else nobody waits for the page any longer
				p.Log.Error("page", "path", r.URL.Path, "error", err)
			}
		}
		data := errorPage{Message: problem.Text(err), Help: problem.HelpOf(err)}
		if status == http.StatusNotFound {
			data.Leads = p.leads(r)
		}
		p.render(w, status, "error", view{Title: http.StatusText(status), Data: data})
	}
}

// errorPage is what the page of an error says.
type errorPage struct {
	Message, Help string
	Leads         []lead // where to go on
}

// view is what every template gets.
type view struct {
	Title string
	Nav   string
	Same  string // the command that shows the same
	// Live names the events after which the page asks for itself again; Position is
	// the log's end when the page was made, Execution narrows them.
	Live      string
	Position  int64
	Execution string
	Every     int // seconds after which it asks anyway, 0 never
	Pace      int // seconds that lie at least between two askings after events, 0: a quarter of one
	URL       string
	// Stale is of when the page is, while the database is unreachable; zero: of now.
	Stale time.Time
	User  string
	Edge  string
	Data  any
}

// render writes a page whole, or an error and nothing of it.
func (p *Pages) render(w http.ResponseWriter, status int, name string, v view) {
	var b bytes.Buffer
	if err := p.templates.ExecuteTemplate(&b, name, v); err != nil {
		p.Log.Error("template", "name", name, "error", err)
		http.Error(w, "This page could not be made; the control plane's log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the browser has gone when this fails
}

// staleEvery is after how many seconds a page that is not of now asks again.
const staleEvery = 3

// show renders a page of a signed-in person.
func (p *Pages) show(w http.ResponseWriter, r *http.Request, name string, v view) error {
	return p.showStatus(w, r, http.StatusOK, name, v)
}

// showStatus is show with another status than 200.
func (p *Pages) showStatus(w http.ResponseWriter, r *http.Request, status int, name string, v view) error {
	end, err := p.Control.End(r.Context())
	if err != nil {
		return err
	}
	v.Position, v.URL, v.User, v.Edge = end, r.URL.RequestURI(), api.PrincipalOf(r).Name, p.Edge
	if at, old := lastknown.AsOf(r.Context()); old {
		v.Stale, v.Every = at, staleEvery
	}
	p.render(w, status, name, v)
	return nil
}

func seeOther(w http.ResponseWriter, r *http.Request, to string) error {
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}
