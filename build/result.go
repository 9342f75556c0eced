package build

import (
	"time"

	"showrunner/artifact"
	"showrunner/build/report"
)

// Status is what became of a build or of one of its phases.
type Status string

const (
	InProgress Status = "IN_PROGRESS"
	Succeeded  Status = "SUCCEEDED"
	Failed     Status = "FAILED"
	// Fault: not the build's doing; its runner broke.
	Fault    Status = "FAULT"
	TimedOut Status = "TIMED_OUT"
	Stopped  Status = "STOPPED"
)

// PhaseType names a phase of a build.
type PhaseType string

// The phases of a build, in order.
const (
	Submitted       PhaseType = "SUBMITTED"
	Queued          PhaseType = "QUEUED"
	Provisioning    PhaseType = "PROVISIONING"
	DownloadSource  PhaseType = "DOWNLOAD_SOURCE"
	Install         PhaseType = "INSTALL"
	PreBuild        PhaseType = "PRE_BUILD"
	Build           PhaseType = "BUILD"
	PostBuild       PhaseType = "POST_BUILD"
	UploadArtifacts PhaseType = "UPLOAD_ARTIFACTS"
	Finalizing      PhaseType = "FINALIZING"
	Completed       PhaseType = "COMPLETED"
)

// Phase is what became of one phase. Phases that were not reached are not listed.
type Phase struct {
	Name       PhaseType `json:"name"`
	Status     Status    `json:"status"`
	StartedAt  time.Time `json:"startedAt"`
	EndedAt    time.Time `json:"endedAt,omitzero"`
	DurationMs int64     `json:"durationMs"`
	// Message says why the phase failed.
	Message string `json:"message,omitempty"`
}

// Artifact is one artifact that a build has made. ID is empty for the primary one.
type Artifact struct {
	ID    string `json:"id"`
	Name  string `json:"name,omitempty"` // from artifacts.name, evaluated
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
	// Ref is set when it is in the store, Location when it was laid out in a folder.
	Ref      artifact.Ref `json:"ref,omitempty"`
	Location string       `json:"location,omitempty"`
	Paths    []string     `json:"paths,omitempty"` // the first of them, sorted
	S3Prefix string       `json:"s3Prefix,omitempty"`
}

// maxPaths is how many paths of an artifact a result lists.
const maxPaths = 1000

// Report is what the reports of one group say together.
type Report struct {
	Name   string `json:"name"` // project-group
	Group  string `json:"group"`
	Format string `json:"format"`
	// Status is SUCCEEDED, FAILED when a case failed, or INCOMPLETE when no
	// file was found or one could not be read.
	Status  string   `json:"status"`
	Files   []string `json:"files"`
	Message string   `json:"message,omitempty"`
	report.Result
}

// Failure says what went wrong first.
type Failure struct {
	Phase    PhaseType `json:"phase"`
	Message  string    `json:"message"`
	Command  string    `json:"command,omitempty"`
	ExitCode int       `json:"exitCode,omitempty"`
	// LastLines are the last lines of the command's output, masked.
	LastLines []string `json:"lastLines,omitempty"`
	Help      string   `json:"help,omitempty"`
}

// Result is what became of a build.
type Result struct {
	ID                string            `json:"id"`
	Number            int               `json:"number"`
	Project           string            `json:"project"`
	Status            Status            `json:"status"`
	StartedAt         time.Time         `json:"startedAt"`
	EndedAt           time.Time         `json:"endedAt,omitzero"`
	DurationMs        int64             `json:"durationMs"`
	Phases            []Phase           `json:"phases"`
	Artifacts         []Artifact        `json:"artifacts"`
	ExportedVariables map[string]string `json:"exportedVariables"`
	Reports           []Report          `json:"reports"`
	Failure           *Failure          `json:"failure,omitempty"`
}

// Artifact returns the artifact with an identifier; "" is the primary one.
func (r Result) Artifact(id string) (Artifact, bool) {
	for _, a := range r.Artifacts {
		if a.ID == id {
			return a, true
		}
	}
	return Artifact{}, false
}
