package driver

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"showrunner/artifact"
	"showrunner/problem"
)

// Workload is the program of a version. Exactly one field is set.
type Workload struct {
	Process  *Process  `json:"process,omitempty"`
	Image    *Image    `json:"image,omitempty"`
	Function *Function `json:"function,omitempty"`
}

// WorkloadKind names a kind of workload.
type WorkloadKind string

const (
	ProcessWorkload  WorkloadKind = "process"
	ImageWorkload    WorkloadKind = "image"
	FunctionWorkload WorkloadKind = "function"
)

// Process is a program that is started in the folder of an artifact.
type Process struct {
	Artifact artifact.Ref `json:"artifact"`
	Command  []string     `json:"command"`
}

// Image is a container image.
type Image struct {
	Reference string   `json:"reference"`         // by digest: registry/name@sha256:…
	Command   []string `json:"command,omitempty"` // replaces the image's entry point
	Args      []string `json:"args,omitempty"`    // replace the image's arguments
}

// Function is code that the cloud calls once for each request. It has no
// instances of its own that could be resized, drained or terminated.
type Function struct {
	Artifact artifact.Ref  `json:"artifact"`
	Handler  string        `json:"handler"`           // entry point in the runtime's syntax
	Runtime  string        `json:"runtime"`           // the cloud's name for it
	Memory   int           `json:"memory,omitempty"`  // MiB; 0 is the cloud's default
	Timeout  time.Duration `json:"timeout,omitempty"` // of one call; 0 is the cloud's default
}

// EnvValue is the value of an environment variable, or a reference to a secret
// that the cloud itself resolves when it starts the workload. A value may be a
// secret that was already resolved; a driver stores it encrypted and never
// returns values.
type EnvValue struct {
	Value  string `json:"value,omitempty"`
	Secret string `json:"secret,omitempty"` // the cloud's name of the secret, with its version
}

// Values makes an environment of plain values.
func Values(env map[string]string) map[string]EnvValue {
	if env == nil {
		return nil
	}
	out := make(map[string]EnvValue, len(env))
	for name, value := range env {
		out[name] = EnvValue{Value: value}
	}
	return out
}

// Kind is the kind of the workload, empty when not exactly one is set.
func (w Workload) Kind() WorkloadKind {
	var kinds []WorkloadKind
	if w.Process != nil {
		kinds = append(kinds, ProcessWorkload)
	}
	if w.Image != nil {
		kinds = append(kinds, ImageWorkload)
	}
	if w.Function != nil {
		kinds = append(kinds, FunctionWorkload)
	}
	if len(kinds) != 1 {
		return ""
	}
	return kinds[0]
}

// Artifact is the artifact of the workload, empty for an image.
func (w Workload) Artifact() artifact.Ref {
	switch {
	case w.Process != nil:
		return w.Process.Artifact
	case w.Function != nil:
		return w.Function.Artifact
	}
	return ""
}

var imageReference = regexp.MustCompile(`^[a-z0-9][a-z0-9._:/-]*@sha256:[0-9a-f]{64}$`)

// CheckWorkload checks that exactly one workload is set and complete. runs are
// the kinds that the driver runs; any other kind is refused by name. Errors:
// invalid, and precondition for a kind that the driver does not run.
func CheckWorkload(w Workload, runs ...WorkloadKind) error {
	const op = "cloud.workload"
	kind := w.Kind()
	if kind == "" {
		return problem.New(problem.Invalid, op, "a version runs exactly one of process, image and function")
	}
	if !slices.Contains(runs, kind) {
		return problem.New(problem.Precondition, op, "this account does not run workloads of the kind %s", kind).
			WithHelp("it runs: %s", strings.Join(names(runs), ", "))
	}
	bad := func(what string) error { return problem.New(problem.Invalid, op, "the %s %s", kind, what) }
	switch {
	case w.Process != nil:
		return checkProcess(*w.Process, bad)
	case w.Image != nil:
		if !imageReference.MatchString(w.Image.Reference) {
			return problem.New(problem.Invalid, op, "the image %q is not named by its digest", w.Image.Reference).
				WithHelp("write registry/name@sha256: and the 64 digits of its digest: a tag can be moved to another image")
		}
		if slices.ContainsFunc(slices.Concat(w.Image.Command, w.Image.Args), hasZero) {
			return bad("has a zero byte in its command")
		}
	case w.Function.Artifact == "":
		return bad("has no artifact")
	case w.Function.Handler == "" || w.Function.Runtime == "":
		return bad("needs a handler and a runtime")
	case w.Function.Memory < 0 || w.Function.Timeout < 0:
		return bad("has a negative memory or timeout")
	}
	return nil
}

func checkProcess(p Process, bad func(string) error) error {
	switch {
	case p.Artifact == "":
		return bad("has no artifact")
	case len(p.Command) == 0 || p.Command[0] == "":
		return bad("has no command")
	case slices.ContainsFunc(p.Command, hasZero):
		return bad("has a zero byte in its command")
	}
	return nil
}

func hasZero(s string) bool { return strings.ContainsRune(s, 0) }

func names[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = string(n)
	}
	return out
}

// CheckEnv checks an environment. references says whether the driver resolves
// references to secrets. Errors: invalid, precondition.
func CheckEnv(env map[string]EnvValue, references bool) error {
	const op = "cloud.env"
	for name, v := range env {
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00") || hasZero(v.Value):
			return problem.New(problem.Invalid, op, "environment variable %q cannot be set", name)
		case v.Value != "" && v.Secret != "":
			return problem.New(problem.Invalid, op, "environment variable %s has both a value and a reference to a secret", name)
		case v.Secret != "" && !references:
			return problem.New(problem.Precondition, op, "environment variable %s refers to a secret of the cloud, but this account does not resolve such references", name).
				WithHelp("give a value, which may be a secret of the control plane")
		}
	}
	return nil
}
