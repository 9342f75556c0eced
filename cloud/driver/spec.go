package driver

import (
	"math"
	"regexp"
	"strings"

	"showrunner/pipeline"
	"showrunner/problem"
)

// CheckSpec completes a specification. It refuses, by name, options that no
// driver can run and options that a cloud with these facts cannot run. A driver
// calls it before it makes anything; further limits of its cloud the driver
// checks itself. Errors: invalid, precondition.
func CheckSpec(s ServerGroupSpec, facts Facts) (ServerGroupSpec, error) {
	const op = "cloud.spec"
	if err := CheckCluster(s.Cluster); err != nil {
		return s, err
	}
	s.Application = ApplicationOf(s)
	bad := func(what string) error {
		return problem.New(problem.Invalid, op, "server group of %s: %s", s.Cluster, what)
	}
	if hasZero(s.Version) || hasZero(s.Application) {
		return s, bad("the version or the application holds a zero byte")
	}
	if !ValidWeight(s.Weight) || s.Drain < 0 || s.StopTimeout < 0 {
		return s, bad("weight, drain and stop timeout are not negative")
	}
	checks := []func() error{
		func() error { return CheckWorkload(s.Workload, facts.Workloads...) },
		func() error { return CheckEnv(s.Env, facts.References) },
		func() error { return CheckTraffic(s.Traffic) },
		func() error { return CheckHooks(s.Hooks) },
		func() error { return CheckMaintenance(s.Maintenance) },
		func() error { return checkFunction(s) },
		func() error { return checkPlacement(s, facts) },
		func() error { return checkRole(s.Role) },
	}
	for _, check := range checks {
		if err := check(); err != nil {
			return s, problem.Wrap(err, "", op, "server group of %s", s.Cluster)
		}
	}
	var err error
	s.Capacity, err = CheckCapacity(s.Capacity)
	return s, err
}

func checkRole(r Role) error {
	if r != "" && r != RoleBaseline {
		return problem.New(problem.Invalid, "cloud.role", "there is no role %q of server groups", r)
	}
	return nil
}

// CheckCopy refuses a copy that a cloud with these facts cannot make, and a request for
// one that has a specification of its own. Errors: invalid, precondition.
func CheckCopy(s ServerGroupSpec, facts Facts) error {
	const op = "cloud.copy"
	switch {
	case !facts.Copies:
		return problem.New(problem.Precondition, op, "this account makes no copies of server groups")
	case s.Workload.Kind() != "" || len(s.Env) > 0:
		return problem.New(problem.Invalid, op, "a copy of %s has its workload and its environment", s.CopyOf)
	}
	return nil
}

// CopySpec is the specification of a copy: that of the copied group, except for what the
// request says of the group itself. The driver adds the values of the environment.
// Errors: invalid when the copied group is of another cluster.
func CopySpec(of, request ServerGroupSpec) (ServerGroupSpec, error) {
	if of.Cluster != request.Cluster {
		return of, problem.New(problem.Invalid, "cloud.copy", "%s is of cluster %s, and a copy belongs to the same cluster", request.CopyOf, of.Cluster)
	}
	of.Capacity, of.Weight, of.Execution, of.Fingerprint = request.Capacity, request.Weight, request.Execution, request.Fingerprint
	of.Role, of.CopyOf, of.Instance = request.Role, request.CopyOf, request.Instance
	return of, nil
}

var instanceName = regexp.MustCompile(`^i-[0-9a-f]{17}$`)

// checkPlacement refuses zones and an instance's identifier where they cannot be had.
func checkPlacement(s ServerGroupSpec, facts Facts) error {
	const op = "cloud.placement"
	switch {
	case len(s.Zones) == 0 && s.Instance == "":
		return nil
	case !facts.Placement:
		return problem.New(problem.Precondition, op, "this account chooses zones and identifiers of instances by itself")
	case s.Instance != "" && !instanceName.MatchString(s.Instance):
		return problem.New(problem.Invalid, op, "%q is not the identifier of an instance", s.Instance).WithHelp("i- and 17 hexadecimal digits")
	case s.Instance != "" && s.Capacity.Max > 1:
		return problem.New(problem.Invalid, op, "a group whose instance has the identifier %s has at most one", s.Instance)
	}
	return nil
}

// checkFunction refuses options of instances for a function, which has no
// instances.
func checkFunction(s ServerGroupSpec) error {
	if s.Workload.Function == nil {
		return nil
	}
	h := s.Health
	for what, set := range map[string]bool{
		"health":      h.Path != "" || h.TCP || len(h.Command) > 0,
		"liveness":    s.Liveness != nil,
		"drain":       s.Drain != 0,
		"stopTimeout": s.StopTimeout != 0,
		"limits":      s.Limits != nil,
		"sticky":      s.Sticky,
		"traffic":     s.Traffic != nil,
		"hooks":       s.Hooks != nil,
		"maintenance": s.Maintenance != nil,
		"scaling":     len(s.Scaling) > 0,
		"metrics":     s.Metrics != nil,
		"zones":       len(s.Zones) > 0,
		"capacity":    s.Capacity != pipeline.Capacity{},
	} {
		if set {
			return problem.New(problem.Invalid, "cloud.function", "%s is an option of instances, and a function has none", what)
		}
	}
	return nil
}

// CheckAmend refuses to make another group of one. Errors: invalid.
func CheckAmend(was, s ServerGroupSpec) error {
	if was.Cluster != s.Cluster || ApplicationOf(was) != ApplicationOf(s) || was.Instance != s.Instance {
		return problem.New(problem.Invalid, "cloud.amend", "the cluster, the application and the instance's identifier of a server group stay as they are")
	}
	return nil
}

// ApplicationOf is the application that a cluster belongs to: the stored one, or
// for clusters that were created before the application was stored, the first
// part of the name.
func ApplicationOf(s ServerGroupSpec) string {
	if s.Application != "" {
		return s.Application
	}
	first, _, _ := strings.Cut(s.Cluster, "-")
	return first
}

// ValidWeight says whether a weight is a number of 0 or more.
func ValidWeight(w float64) bool { return w >= 0 && !math.IsInf(w, 0) && !math.IsNaN(w) }
