package fleet

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/internal/process"
	"showrunner/pipeline"
)

// sample measures every instance, ends those over their memory limit, and detects
// groups that have become stable.
func (f *Fleet) sample() {
	type reading struct {
		*instance
		process *process.Process
		helpers []*process.Process
		used    time.Duration
		memory  int64
		ok      bool
	}
	f.mu.Lock()
	var list []reading
	for _, i := range f.instances {
		if i.process != nil && i.running {
			list = append(list, reading{instance: i, process: i.process, helpers: i.helpers})
		}
	}
	f.mu.Unlock()
	for n := range list {
		list[n].used, list[n].memory, list[n].ok = list[n].process.Usage()
		for _, h := range list[n].helpers { // what a fault uses up counts as the instance's
			used, memory, _ := h.Usage()
			list[n].used, list[n].memory = list[n].used+used, list[n].memory+memory
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.config.Now()
	for _, r := range list {
		i := r.instance
		if !r.ok || !i.running {
			continue
		}
		if past := now.Sub(i.sampled); past > 0 {
			i.cpu = max(0, (r.used-i.used).Seconds()/past.Seconds())
		}
		i.used, i.sampled, i.memory = r.used, now, r.memory
		f.holdMemory(i, r.process)
	}
	for _, g := range f.groups {
		f.settleDown(g, now)
	}
}

// holdMemory enforces the memory limit on resident memory, which is what people
// expect. A limit on address space (RLIMIT_AS) would end programs that only
// reserve memory, as every Go and Node program does.
func (f *Fleet) holdMemory(i *instance, p *process.Process) {
	limits := f.doc.Groups[i.group.name].Spec.Limits
	if limits == nil || limits.Memory == "" || i.lifecycle == driver.Terminating {
		return
	}
	limit, err := parseSize(limits.Memory)
	if err != nil || i.memory <= limit {
		return // the spec was checked when the group was made
	}
	i.failure = &driver.InstanceFailure{Code: "OVER_LIMIT",
		Cause: fmt.Sprintf("it was killed because it used %d MiB of memory; its limit is %s", i.memory>>20, limits.Memory)}
	p.Signal(killSignal)
}

// settleDown resets a group's back-off once it has a stable instance, and clears
// its last failure once all desired instances serve and are stable.
func (f *Fleet) settleDown(g *group, now time.Time) {
	staying := 0
	for _, i := range g.instances {
		if i.inService() && now.Sub(i.serving) >= stable {
			staying++
		}
	}
	if staying > 0 && g.backoff.rounds > 0 && now.Sub(g.backoff.bumped) >= stable {
		g.backoff = backoff{}
	}
	if g.lastFailure != nil && staying >= max(1, f.doc.Groups[g.name].Capacity.Desired) {
		g.lastFailure = nil
		f.bump(g.cluster)
	}
}

var size = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(i?)B?$`)

// parseSize parses a size in the pipeline language's form: 512MiB and 512Mi are
// binary, 512MB and 512M decimal, a number alone is bytes.
func parseSize(text string) (int64, error) {
	m := size.FindStringSubmatch(text)
	if m == nil || m[3] != "" && m[2] == "" {
		return 0, fmt.Errorf("%q is not a size such as 512MiB", text)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	base, units := 1000.0, "_KMGT"
	if m[2] == "" {
		units = ""
	}
	if m[3] != "" {
		base = 1024
	}
	n *= math.Pow(base, float64(strings.Index(units, m[2])))
	if err != nil || n < 1 || n > 1<<60 {
		return 0, fmt.Errorf("%q is not a size such as 512MiB", text)
	}
	return int64(n), nil
}

func limitsOf(l *pipeline.Limits) error {
	if l == nil {
		return nil
	}
	if l.CPUs < 0 || l.Files < 0 {
		return fmt.Errorf("limits are not negative")
	}
	if l.Files > 0 && l.Files < 16 {
		return fmt.Errorf("a program cannot start with fewer than 16 open files")
	}
	if l.Memory == "" {
		return nil
	}
	_, err := parseSize(l.Memory)
	return err
}
