package pipeline

// Config is the typed configuration of one stage kind; the set is closed.
type Config interface{ Kind() string }

// Credentials reach a private repository. Values are secret references.
type Credentials struct {
	Username   string `json:"username,omitempty" lang:"secret"`
	Password   string `json:"password,omitempty" lang:"secret"` // or a token
	SSHKey     string `json:"sshKey,omitempty" lang:"secret"`   // a private key in OpenSSH form
	KnownHosts string `json:"knownHosts,omitempty" lang:"secret"`
}

// Git fetches a commit; its artifact is the work tree.
type Git struct {
	URL         string       `json:"url" check:"git"`
	Branch      string       `json:"branch,omitempty"` // default: what the trigger pushed when it fits, else the remote's HEAD
	Tag         string       `json:"tag,omitempty"`
	Commit      string       `json:"commit,omitempty"`
	Submodules  bool         `json:"submodules,omitempty"`
	LFS         bool         `json:"lfs,omitempty"`
	Credentials *Credentials `json:"credentials,omitempty"`
	Follow      bool         `json:"follow,omitempty" lang:"static"` // the showrunner.yaml of the commit is applied before a run starts with it, and the run uses it
}

// Kind implements Config.
func (Git) Kind() string { return "git" }

// Object fetches an object of a region's object storage.
type Object struct {
	Bucket  string `json:"bucket"`
	Key     string `json:"key"`
	Version string `json:"version,omitempty"`               // default: the newest
	Region  string `json:"region,omitempty" check:"region"` // default: the region that has the bucket
}

// Kind implements Config.
func (Object) Kind() string { return "object" }

// Build runs a buildspec over a source artifact.
type Build struct {
	Source     string            `json:"source,omitempty" lang:"static" check:"artifact"`     // artifact; default: the artifact that a needed stage makes
	Sources    map[string]string `json:"sources,omitempty" lang:"static" check:"artifacts"`   // further inputs by identifier
	Spec       string            `json:"spec,omitempty" check:"path" default:"buildspec.yml"` // path in the source; default buildspec.yml
	Inline     string            `json:"inline,omitempty"`                                    // the buildspec itself; excludes Spec
	Project    string            `json:"project,omitempty"`                                   // name for reports and CODEBUILD_BUILD_ID; default application-stage
	Env        map[string]string `json:"env,omitempty" lang:"secret" check:"env"`             // beats the buildspec's; values may refer to secrets
	Image      string            `json:"image,omitempty"`                                     // run in this container image
	Privileged bool              `json:"privileged,omitempty"`                                // with Image
	Cache      *bool             `json:"cache,omitempty" default:"true"`                      // honour the buildspec's cache; default true
	Memory     string            `json:"memory,omitempty" check:"size"`                       // limit such as "2GiB"
	CPUs       float64           `json:"cpus,omitempty" min:"0"`
}

// Kind implements Config.
func (Build) Kind() string { return "build" }

// Run runs commands in an artifact's folder.
type Run struct {
	Artifact string            `json:"artifact,omitempty" lang:"static" check:"artifact"` // default: an empty folder
	Commands []string          `json:"commands" lang:"one"`
	Env      map[string]string `json:"env,omitempty" lang:"secret" check:"env"`
	Shell    string            `json:"shell,omitempty" default:"sh"`                        // default sh
	Outputs  []string          `json:"outputs,omitempty" lang:"static" check:"identifiers"` // environment variables kept as outputs
	Image    string            `json:"image,omitempty"`
}

// Kind implements Config.
func (Run) Kind() string { return "run" }

// Wave is a set of regions that change together.
type Wave struct {
	Regions []string `json:"regions" lang:"one" check:"regions"`
	Bake    Duration `json:"bake,omitempty"` // how long the wave must stay healthy before the next one starts; an instance that fails begins it anew
}

// CacheRule sets Cache-Control for the objects that match Files.
type CacheRule struct {
	Files string `json:"files" check:"glob"` // glob
	Value string `json:"value"`
}

// DeploySite puts an artifact into a website in every region named.
type DeploySite struct {
	Site         string      `json:"site" check:"site"`
	Artifact     string      `json:"artifact" lang:"static" check:"artifact"`
	Account      string      `json:"account,omitempty" check:"name" default:"local"`    // default local
	Prefix       string      `json:"prefix,omitempty" check:"path"`                     // key prefix within the site
	Index        string      `json:"index,omitempty" check:"path" default:"index.html"` // default index.html
	Error        string      `json:"error,omitempty" check:"path"`                      // error document
	CacheControl []CacheRule `json:"cacheControl,omitempty"`
	Waves        []Wave      `json:"waves,omitempty"`                                       // default: one wave of all regions
	OnFailure    string      `json:"rollback,omitempty" enum:"all|wave|none" default:"all"` // what a failed wave undoes: wave, all (default), none
	Keep         int         `json:"keep,omitempty" default:"10" min:"1"`                   // deployments kept for rollback; default 10
	Existing     bool        `json:"existing,omitempty"`                                    // the site is a bucket that is there already: its website settings and its policy stay as they are
	// Archive uploads the artifact as one zip object under this key instead of its files
	// (CodePipeline's Extract=false).
	Archive string `json:"archive,omitempty" check:"path"`
}

// Kind implements Config.
func (DeploySite) Kind() string { return "deploy-site" }

// Wait waits for a time.
type Wait struct {
	For   Duration `json:"for,omitempty" min:"0"`
	Until string   `json:"until,omitempty" check:"time"` // RFC 3339
}

// Kind implements Config.
func (Wait) Kind() string { return "wait" }

// Approval waits for people.
type Approval struct {
	Instructions string   `json:"instructions,omitempty"`                  // Markdown
	Approvers    []string `json:"approvers,omitempty"`                     // principals; empty: anybody who may. Refused until people can be told apart
	Minimum      int      `json:"minimum,omitempty" default:"1" min:"1"`   // approvals needed; default 1. More are refused until people can be told apart
	ForbidSelf   bool     `json:"forbidSelf,omitempty"`                    // who started the execution may not approve it
	Expires      Duration `json:"expires,omitempty" default:"72h" min:"1"` // default 72h; then the stage fails
}

// Kind implements Config.
func (Approval) Kind() string { return "approval" }

// Webhook calls another system, and may wait for a callback.
type Webhook struct {
	URL     string            `json:"url" lang:"secret" check:"url"`
	Method  string            `json:"method,omitempty" default:"POST" enum:"GET|HEAD|POST|PUT|PATCH|DELETE"` // default POST
	Headers map[string]string `json:"headers,omitempty" lang:"secret" check:"headers"`
	Body    string            `json:"body,omitempty" lang:"secret"`
	Expect  []int             `json:"expect,omitempty" lang:"one" min:"100" max:"599"`  // statuses; default 200 to 299
	Wait    bool              `json:"wait,omitempty"`                                   // wait for a callback to the URL given as callbackUrl
	Secret  string            `json:"secret,omitempty" lang:"secret"`                   // signs the call (Standard Webhooks)
	Outputs map[string]string `json:"outputs,omitempty" lang:"static" check:"pointers"` // output name → JSON pointer into the answer (or callback)
}

// Kind implements Config.
func (Webhook) Kind() string { return "webhook" }

// Call starts another pipeline.
type Call struct {
	Application string            `json:"application,omitempty" check:"application"` // default this application
	Pipeline    string            `json:"pipeline" check:"name"`
	Parameters  map[string]string `json:"parameters,omitempty"`
	Wait        *bool             `json:"wait,omitempty" default:"true"` // default true: take its outcome
}

// Kind implements Config.
func (Call) Kind() string { return "pipeline" }
