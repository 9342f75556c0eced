package experiment

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Does says in words what a step does.
func (s Step) Does() string {
	switch {
	case s.Fault != nil:
		return s.Fault.does()
	case s.Kill != nil:
		return s.Kill.does()
	case s.Wait != 0:
		return "wait " + s.Wait.String()
	case s.HTTP != nil:
		return "send " + cmp.Or(s.HTTP.Method, "GET") + " " + s.HTTP.URL
	case s.Traffic != nil:
		return "set weights at the edge: " + weightsText(s.Traffic)
	case s.Check != nil:
		return "check that it holds: " + s.Check.Bounded()
	}
	return "nothing"
}

func (f Fault) does() string {
	text := f.Kind
	for _, part := range []struct {
		given bool
		text  string
	}{
		{f.Latency > 0, f.Latency.String()}, {f.Jitter > 0, "± " + f.Jitter.String()}, {f.Status > 0, "status " + strconv.Itoa(f.Status)},
		{f.Rate > 0, fmt.Sprintf("%d bytes a second", f.Rate)}, {f.Cores > 0, plain(f.Cores) + " cores"}, {f.MiB > 0, fmt.Sprintf("%d MiB", f.MiB)},
		{f.Percent > 0, "for " + plain(f.Percent) + " % of the requests"}, {f.Path != "", "to " + f.Path}, {f.Header != "", "with the header " + f.Header},
		{true, "on " + f.target()}, {f.At != "", "at the " + f.At}, {f.From != "", "for requests of " + f.From},
		{true, "for " + f.For.String()}, {f.Force, "also below the least capacity"}, {f.DuringRollouts, "also during rollouts"},
	} {
		if part.given {
			text += " " + part.text
		}
	}
	return text
}

// target names what a fault hits.
func (f Fault) target() string {
	var chosen string
	switch {
	case len(f.Instances) > 0:
		chosen = strings.Join(f.Instances, " and ")
	case f.All:
		chosen = "every instance that can be spared"
	case f.Count > 0:
		chosen = fmt.Sprintf("%d instances", f.Count)
	case f.Share > 0:
		chosen = plain(f.Share) + " % of the instances"
	}
	var where []string
	for _, w := range []string{f.ServerGroup, f.Cluster, f.Zone, f.Region} {
		if w != "" {
			where = append(where, w)
		}
	}
	place := strings.Join(where, " in ")
	switch {
	case chosen == "" && place == "":
		return "the control plane"
	case chosen == "":
		return place
	case place == "":
		return chosen
	}
	return chosen + " of " + place
}

func (k Kill) does() string {
	text := fmt.Sprintf("end %d instances chosen at random", max(1, k.Count))
	if k.Count <= 1 {
		text = "end an instance chosen at random"
	}
	for _, w := range []struct{ word, name string }{{"of", cmp.Or(k.Cluster, k.Application)}, {"in", k.Region}} {
		if w.name != "" {
			text += " " + w.word + " " + w.name
		}
	}
	if k.Force {
		text += ", also below the least capacity"
	}
	return text
}

func weightsText(weights map[string]*float64) string {
	var list []string
	for _, region := range slices.Sorted(maps.Keys(weights)) {
		text := "its own again"
		if w := weights[region]; w != nil {
			text = plain(*w)
		}
		list = append(list, region+" "+text)
	}
	return strings.Join(list, ", ")
}

// Bounded names a condition with its bounds.
func (c Condition) Bounded() string {
	text := c.String()
	if c.Above != nil {
		text += " above " + plain(*c.Above)
	}
	if c.Below != nil {
		text += " below " + plain(*c.Below)
	}
	return text
}

// Lasts is how long a run takes at least that is not ended early: its waits and the
// durations of its faults, along the longest way through the method.
func (e *Experiment) Lasts() time.Duration {
	ends := make([]time.Duration, len(e.Actions))
	var longest time.Duration
	for i, a := range e.Actions {
		for _, k := range a.After {
			ends[i] = max(ends[i], ends[k])
		}
		ends[i] += time.Duration(a.Wait)
		if a.Fault != nil {
			ends[i] += time.Duration(a.Fault.For)
		}
		longest = max(longest, ends[i])
	}
	return longest
}
