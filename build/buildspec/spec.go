package buildspec

import (
	"regexp"
	"time"

	"showrunner/pipeline"
)

// Spec is a checked buildspec.
type Spec struct {
	RunAs   string
	Env     Env
	Phases  map[PhaseName]Phase // only those that the file has
	Reports []ReportGroup       // in file order
	// Artifacts is nil when the file has none.
	Artifacts *Artifacts
	Cache     *Cache
	// Warnings are findings that do not refuse the file.
	Warnings pipeline.Diagnostics
}

// PhaseName is the key of a phase.
type PhaseName string

// The phases that a file may have, in their order.
const (
	Install   PhaseName = "install"
	PreBuild  PhaseName = "pre_build"
	Build     PhaseName = "build"
	PostBuild PhaseName = "post_build"
)

// PhaseNames lists the phases in their order.
var phaseNames = []PhaseName{Install, PreBuild, Build, PostBuild}

// Shell is what runs the commands.
type Shell string

const (
	// ShellDefault lets the runner choose.
	ShellDefault Shell = ""
	ShellBash    Shell = "bash"
	ShellSh      Shell = "/bin/sh"
)

// Env is the env section.
type Env struct {
	Shell          Shell
	Variables      []Variable // in file order; literal
	ParameterStore []Reference
	SecretsManager []Reference
	Exported       []string
}

// Variable is a literal value.
type Variable struct{ Name, Value string }

// Reference says which secret becomes which variable.
type Reference struct {
	Name     string
	SecretID string // or the parameter's name
	JSONKey  string // empty: the whole secret
	Stage    string // version stage; empty: AWSCURRENT
	Version  string // version id
	Position pipeline.Position
}

// Phase is one phase.
type Phase struct {
	RunAs     string
	OnFailure OnFailure
	Commands  []string
	Finally   []string
	// Runtimes are the runtime-versions; only in install.
	Runtimes []Runtime
}

// Runtime is a program and the version asked for.
type Runtime struct{ Name, Version string }

// FailureAction is the first word of on-failure.
type FailureAction string

const (
	// Transition is the action of a phase without on-failure: what comes next
	// depends on the phase. It is not the same as Abort.
	Transition FailureAction = ""
	Abort      FailureAction = "ABORT"
	Continue   FailureAction = "CONTINUE"
	Retry      FailureAction = "RETRY"
)

// DefaultRetries is how often RETRY without a number tries again.
const DefaultRetries = 3

// OnFailure says what happens when a phase fails.
type OnFailure struct {
	Action  FailureAction
	Retries int
	// Match restricts Retry to failures whose message or last output matches; nil is any.
	Match *regexp.Regexp
}

// ArtifactSet is the keys that the artifacts section and each secondary artifact share.
type ArtifactSet struct {
	Files          []string
	BaseDirectory  string
	ExcludePaths   []string
	DiscardPaths   bool
	EnableSymlinks bool
	Name           string
	S3Prefix       string
}

// Artifacts is the artifacts section.
type Artifacts struct {
	ArtifactSet
	Secondary []SecondaryArtifact // in file order
}

// SecondaryArtifact is one of secondary-artifacts.
type SecondaryArtifact struct {
	ID string
	ArtifactSet
}

// Cache is the cache section.
type Cache struct {
	Paths        []string
	Key          string
	FallbackKeys []string
	// Restore and Save say which of the two happen; both unless action says otherwise.
	Restore, Save bool
}

// ReportGroup is one of reports.
type ReportGroup struct {
	Name          string
	Files         []string
	BaseDirectory string
	DiscardPaths  bool
	Format        string // upper case
}

// MaxReportGroups is how many report groups a build may have.
const MaxReportGroups = 5

// Phases lists the phases' names in their order.
func Phases() []PhaseName { return append([]PhaseName(nil), phaseNames...) }

// DefaultTimeout is how long a build may take when nothing says otherwise.
const DefaultTimeout = time.Hour

// SwitchesUser tells whether run-as is used anywhere.
func (s Spec) SwitchesUser() bool {
	if s.RunAs != "" {
		return true
	}
	for _, p := range s.Phases {
		if p.RunAs != "" {
			return true
		}
	}
	return false
}
