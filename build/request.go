package build

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"time"

	"showrunner/artifact"
	"showrunner/build/buildspec"
)

// Request is what to build, and how; it holds no secret, so it may be written down.
type Request struct {
	ID        string `json:"id"` // project:uuid
	Number    int    `json:"number"`
	Project   string `json:"project"`
	Initiator string `json:"initiator,omitempty"`
	// SpecName is what the log calls the buildspec; Spec is its text.
	SpecName string `json:"specName"`
	Spec     string `json:"spec"`
	// Env beats the buildspec's variables.
	Env map[string]string `json:"env,omitempty"`
	// Inherit is the environment of the machine that commands see, as NAME=value.
	Inherit []string `json:"inherit,omitempty"`
	// Traceparent is the W3C trace context that commands see as TRACEPARENT; the
	// variables of the buildspec and Env beat it.
	Traceparent string `json:"traceparent,omitempty"`

	Origin
	// Webhook are the CODEBUILD_WEBHOOK_ variables, by what follows that prefix.
	Webhook map[string]string `json:"webhook,omitempty"`
	// Inputs are the identifiers of further sources; each gets CODEBUILD_SRC_DIR_<id>.
	Inputs []string `json:"inputs,omitempty"`
	// Origins say where further sources come from, by their identifiers.
	Origins map[string]Origin `json:"origins,omitempty"`

	Image      string        `json:"image,omitempty"`
	Privileged bool          `json:"privileged,omitempty"`
	Memory     int64         `json:"memory,omitempty"` // bytes; 0 is no limit
	CPUs       float64       `json:"cpus,omitempty"`
	Timeout    time.Duration `json:"timeout,omitempty"` // default an hour
}

// Origin says where a source comes from. Each part may be unknown.
type Origin struct {
	SourceVersion   string `json:"sourceVersion,omitempty"`   // a branch, a tag or a commit
	ResolvedVersion string `json:"resolvedVersion,omitempty"` // the commit
	RepositoryURL   string `json:"repositoryUrl,omitempty"`
}

// NewID makes the identifier of a new build of a project.
func NewID(project string) string {
	var b [16]byte
	rand.Read(b[:]) //nolint:errcheck // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%s:%x-%x-%x-%x-%x", project, b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Host is what a build needs from where it runs.
type Host struct {
	// Dir is the build's own folder; it must be there, empty, and is left to the
	// caller to remove.
	Dir string
	// Log gets what the build says, masked, while it happens.
	Log io.Writer
	// Prepare lays the source out in dir, and further inputs in inputs.
	Prepare func(ctx context.Context, dir string, inputs map[string]string) error
	// Secrets are the values of the variables that the buildspec takes from
	// secrets-manager and parameter-store, and of Masked ones that the caller
	// sets besides; all of them are masked in Log.
	Secrets map[string]string
	// Mask are further values that are masked in Log, such as credentials in the
	// configuration of the source's repository.
	Mask []string
	// Deliver takes the files of an artifact. Nil only counts them.
	Deliver func(ctx context.Context, id string, files []artifact.File) (Delivery, error)
	// Cache keeps folders from build to build; nil when there is no cache.
	Cache *Cache
	// Changed is told of every change of phase; nil is allowed.
	Changed func(Result)
	Now     func() time.Time
	// Exclusive says that this process runs nothing but this build, so that
	// whatever it is the parent of, or inherits as an orphan, belongs to the build.
	Exclusive bool
	// Mark is put into the environment of the build's processes, so that they
	// are recognised after a crash of this one; empty makes one up.
	Mark string
	// spare is a child of this process that is none of the build's.
	spare int
}

// Delivery is what became of an artifact's files.
type Delivery struct {
	Ref      artifact.Ref
	Location string
}

// SecretNames lists the variables of a spec that need a secret's value and are
// not in given.
func SecretNames(spec buildspec.Spec, given map[string]string) []buildspec.Reference {
	var list []buildspec.Reference
	for _, ref := range append(append([]buildspec.Reference(nil), spec.Env.ParameterStore...), spec.Env.SecretsManager...) {
		if _, ok := given[ref.Name]; !ok {
			list = append(list, ref)
		}
	}
	return list
}
