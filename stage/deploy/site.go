package deploy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"showrunner/artifact"
	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
)

// Provenance finds out where an artifact came from.
type Provenance interface {
	Attestation(ctx context.Context, ref artifact.Ref) (artifact.Statement, error)
}

// Site is the stage kind deploy-site: it puts an artifact into a website, wave by
// wave of regions. After each wave the site must answer with the new deployment,
// and keep answering while the wave bakes. Otherwise the changed regions are
// returned to their earlier deployments (by policy).
//
// Its outputs: url, deployment, version, regions (changed, in order); of the
// region with most work: uploaded, unchanged, deleted, bytes; and a note on pages
// that visitors will not find.
type Site struct {
	accounts   Accounts
	provenance Provenance
}

// NewSite makes the kind.
func NewSite(accounts Accounts, provenance Provenance) *Site { return &Site{accounts, provenance} }

// Name implements stage.Kind.
func (*Site) Name() string { return "deploy-site" }

// Version implements stage.Kind.
func (*Site) Version() int { return 1 }

// Tasks implements stage.Kind. An interrupted publish is repeated under the same
// key, by which the region recognises it.
func (k *Site) Tasks() []stage.Task {
	return []stage.Task{{Name: "publish", Run: k.publish, Resume: stage.Repeat}}
}

const (
	// unreachableLimit is how long a region may be unreachable before the stage fails:
	// long enough for a restart of the region.
	unreachableLimit = 30 * time.Second
	// bakeEvery is how often a site is probed while it bakes.
	bakeEvery = 2 * time.Second
)

// siteState is the saved state of the task.
type siteState struct {
	Waves []pipeline.Wave `json:"waves"`
	Wave  int             `json:"wave"` // the present one
	// Prepared names the regions that hold all files of the deployment.
	Prepared map[string]bool `json:"prepared"`
	// Changed holds the published deployment by region; Live says which of them
	// answer.
	Changed     map[string]cloud.SiteDeployment `json:"changed"`
	Live        map[string]bool                 `json:"live"`
	Bake        time.Time                       `json:"bake,omitzero"`
	Unreachable time.Time                       `json:"unreachable,omitzero"` // since when a region of the wave is unreachable
	Tries       int                             `json:"tries,omitempty"`
}

// siteRun is one call of the task.
type siteRun struct {
	in      *stage.Input
	config  pipeline.DeploySite
	sites   *cloud.Sites
	request cloud.PublishRequest
	state   siteState
}

func (k *Site) publish(ctx context.Context, in *stage.Input) (stage.Result, error) {
	r, failure, err := k.begin(ctx, in)
	if err != nil {
		return stage.Result{}, err
	}
	if failure != nil {
		return stage.Fail(*failure), nil
	}
	if result, err := r.prepareAll(ctx); result != nil || err != nil {
		return deref(result), err
	}
	for r.state.Wave < len(r.state.Waves) {
		if r.state.Bake.IsZero() {
			if result, err := r.wave(ctx); result != nil || err != nil {
				return deref(result), err
			}
			if bake := time.Duration(r.state.Waves[r.state.Wave].Bake); bake > 0 {
				r.state.Bake = in.Now.Add(bake)
			}
		}
		if result, err := r.bake(ctx); result != nil || err != nil {
			return deref(result), err
		}
		r.state.Wave, r.state.Bake = r.state.Wave+1, time.Time{}
	}
	outputs := r.outputs()
	if note := outputs["note"]; note != "" {
		fmt.Fprintln(in.Log, "Warning:", note)
	}
	return stage.Result{Outcome: stage.Done, Outputs: outputs}, nil
}

func deref(r *stage.Result) stage.Result {
	if r == nil {
		return stage.Result{}
	}
	return *r
}

// begin resolves everything that the stage names.
func (k *Site) begin(ctx context.Context, in *stage.Input) (*siteRun, *stage.Failure, error) {
	c, ok := in.Config.(pipeline.DeploySite)
	if !ok {
		return nil, nil, problem.New(problem.Internal, "deploy-site", "the configuration is a %T", in.Config)
	}
	ref, ok := in.Artifacts[c.Artifact]
	if !ok {
		return nil, &stage.Failure{Code: "ARTIFACT_MISSING", Cause: fmt.Sprintf("no stage before made artifact %q", c.Artifact),
			Evidence: []string{"there are: " + list(slices.Sorted(maps.Keys(in.Artifacts)))}, Help: "name the stage that makes it, or stage.name of a secondary artifact"}, nil
	}
	account, err := k.accounts.Account(accountOrLocal(c.Account))
	if err != nil {
		return nil, &stage.Failure{Code: "ACCOUNT_UNKNOWN", Cause: problem.Text(err), Help: problem.HelpOf(err)}, nil
	}
	sites, err := account.Sites()
	if err != nil {
		return nil, &stage.Failure{Code: "ACCOUNT_WITHOUT_SITES", Cause: problem.Text(err), Help: "choose an account that hosts websites"}, nil
	}
	r := &siteRun{in: in, config: c, sites: sites, request: cloud.PublishRequest{
		Config: c, Artifact: ref, Version: k.version(ctx, in, ref), Execution: in.Key.Execution, Order: in.StageStarted.UnixNano(),
	}}
	if in.State != nil {
		if err := json.Unmarshal(in.State, &r.state); err != nil {
			return nil, nil, problem.Wrap(err, problem.Internal, "deploy-site", "reading the task's state")
		}
		return r, nil, nil
	}
	regions, err := account.Regions(ctx)
	if err != nil {
		return nil, nil, err
	}
	waves, failure := planWaves(c.Waves, regions)
	r.state = siteState{Waves: waves, Prepared: map[string]bool{}, Changed: map[string]cloud.SiteDeployment{}, Live: map[string]bool{}}
	return r, failure, nil
}

// planWaves decides which regions change together: as the stage says, otherwise
// all regions of the account at once.
func planWaves(waves []pipeline.Wave, regions []cloud.Region) ([]pipeline.Wave, *stage.Failure) {
	var names []string
	for _, r := range regions {
		names = append(names, r.Name)
	}
	if len(names) == 0 {
		return nil, &stage.Failure{Code: "NO_REGIONS", Cause: "the account has no regions"}
	}
	if len(waves) == 0 {
		return []pipeline.Wave{{Regions: names}}, nil
	}
	for _, w := range waves {
		for _, r := range w.Regions {
			if !slices.Contains(names, r) {
				return nil, &stage.Failure{Code: "REGION_UNKNOWN", Cause: fmt.Sprintf("the account has no region %q", r), Help: "its regions are " + list(names)}
			}
		}
	}
	return waves, nil
}

// version is the name of the content for people: the version of the execution,
// otherwise the commit the content was made of, otherwise the commit that started
// the execution, otherwise the beginning of the content's digest.
func (k *Site) version(ctx context.Context, in *stage.Input, ref artifact.Ref) string {
	if in.Version != "" && !strings.HasPrefix(in.Version, "#") {
		return in.Version
	}
	if k.provenance != nil {
		if st, err := k.provenance.Attestation(ctx, ref); err == nil {
			for _, d := range st.Predicate.BuildDefinition.ResolvedDependencies {
				if commit := d.Digest["gitCommit"]; commit != "" {
					return commit
				}
			}
		}
	}
	if commit, ok := in.Trigger["commit"].(string); ok && commit != "" {
		return commit
	}
	return ref.Hex()[:min(12, len(ref.Hex()))]
}

// again saves the state and asks to be called after a pause; waits and until tell
// people what the stage waits for.
func (r *siteRun) again(after time.Duration, waits string, until time.Time) (*stage.Result, error) {
	state, err := json.Marshal(r.state)
	if err != nil {
		return nil, problem.Wrap(err, problem.Internal, "deploy-site", "writing the task's state")
	}
	return &stage.Result{Outcome: stage.Again, State: state, After: after, Waits: waits, WaitsUntil: until}, nil
}

func (r *siteRun) outputs() map[string]any {
	var regions []any
	var most, last cloud.SiteDeployment
	for _, w := range r.state.Waves {
		for _, name := range w.Regions {
			d := r.state.Changed[name]
			regions, last = append(regions, name), d
			if d.Uploaded >= most.Uploaded {
				most = d
			}
		}
	}
	return map[string]any{
		"site": r.config.Site, "account": accountOrLocal(r.config.Account), "prefix": last.Prefix, "archive": last.Archive,
		"url": r.sites.URL(r.config.Site), "deployment": last.ID, "version": last.Version, "regions": regions,
		"uploaded": most.Uploaded, "unchanged": most.Unchanged, "deleted": most.Deleted, "bytes": most.Bytes,
		"note": r.note(last),
	}
}

// note warns that the site's address answers 404 because the content has no index
// document at its root, and names a folder that has one; "" when there is an
// index. This is not a failure: a bucket of assets needs no index.
func (r *siteRun) note(d cloud.SiteDeployment) string {
	if d.Document != "" || r.config.Archive != "" {
		return ""
	}
	index, address := cmp.Or(r.config.Index, "index.html"), r.sites.URL(r.config.Site)
	if r.config.Existing && d.Nested == "" {
		return fmt.Sprintf("the bucket %s shows visitors no index document: it is not a website, it is not public, or the artifact has no index document", r.config.Site)
	}
	if d.Prefix != "" {
		address += d.Prefix + "/"
	}
	said := fmt.Sprintf("the artifact has no %s at its root, so that %s answers 404", index, address)
	if d.Nested == "" {
		return said
	}
	folder := strings.TrimPrefix(path.Dir(d.Nested), d.Prefix+"/")
	return fmt.Sprintf("%s; there is one under %s/: base-directory: %s in the buildspec's artifacts makes that the root", said, folder, folder)
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	s := names[0]
	for _, n := range names[1:] {
		s += ", " + n
	}
	return s
}
