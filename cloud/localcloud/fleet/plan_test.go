package fleet

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"showrunner/cloud/driver"
	"showrunner/pipeline"
)

var epoch = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

func threeZones() []zone { return []zone{{Name: "a"}, {Name: "b"}, {Name: "c"}} }

func want(min, size, max int) desired {
	return desired{
		Capacity: pipeline.Capacity{Min: min, Desired: size, Max: max}, Zones: threeZones(),
		Suspended: map[string]bool{}, Maintenance: pipeline.Maintenance{MinHealthy: 100, MaxHealthy: 110},
	}
}

// members parses "a b!c?": the zones of in-service members, with ! dead, ~
// unhealthy, x marked unhealthy, ? pending, * protected, s standby.
func members(spec ...string) []member {
	var list []member
	for i, s := range spec {
		m := member{ID: fmt.Sprintf("i%02d", i), Zone: s[:1], Lifecycle: driver.InService, Running: true, Live: true,
			Launched: epoch.Add(time.Duration(i) * time.Second)}
		for _, c := range s[1:] {
			switch c {
			case '!':
				m.Running = false
			case '~':
				m.Live = false
			case '?':
				m.Lifecycle = driver.Pending
			case '*':
				m.Protected = true
			case 's':
				m.Lifecycle = driver.InStandby
			case 'x':
				m.MarkedUnhealthy = true
			case 'r':
				m.Rebalancing = true
			}
		}
		list = append(list, m)
	}
	return list
}

func zonesOf(c changes) string {
	s := ""
	for _, l := range c.Launch {
		s += l.Zone
		if l.Rebalance {
			s += "r"
		}
	}
	return s
}

func ended(c changes) string {
	s := ""
	for _, e := range c.End {
		s += e.ID + " "
	}
	return s
}

func TestPlan(t *testing.T) {
	suspend := func(d desired, names ...string) desired {
		for _, n := range names {
			d.Suspended[n] = true
		}
		return d
	}
	down := func(d desired, name string) desired {
		for i := range d.Zones {
			d.Zones[i].Down = d.Zones[i].Down || d.Zones[i].Name == name
		}
		return d
	}
	parallel := want(1, 3, 3)
	parallel.Maintenance = pipeline.Maintenance{MinHealthy: 90, MaxHealthy: 110}
	careful := want(1, 40, 50)
	careful.Maintenance = pipeline.Maintenance{MinHealthy: 95, MaxHealthy: 110}
	loose := want(1, 4, 8)
	loose.Maintenance = pipeline.Maintenance{MinHealthy: 50, MaxHealthy: 150}
	var forty []string
	for n := range 40 {
		forty = append(forty, []string{"a", "b", "c"}[n%3]+map[bool]string{true: "~"}[n < 6])
	}
	failing := want(1, 10, 10)
	failing.Failing = true
	later := want(1, 3, 3)
	later.NotBefore = epoch.Add(time.Minute)
	for _, c := range []struct {
		name    string
		want    desired
		have    []member
		launch  string
		end     string
		waiting bool
	}{
		{name: "empty group fills its zones evenly", want: want(0, 5, 5), launch: "abcab"},
		{name: "full group rests", want: want(0, 3, 3), have: members("a", "b", "c")},
		{name: "pending counts", want: want(0, 3, 3), have: members("a?", "b?", "c?")},
		{name: "dead is replaced at once, where it is missing", want: want(0, 3, 3), have: members("a", "b!", "c"), launch: "b", end: "i01 "},
		{name: "all dead are replaced at once", want: want(0, 3, 3), have: members("a!", "b!", "c!"), launch: "abc", end: "i00 i01 i02 "},
		{name: "unhealthy: launch first", want: want(0, 3, 3), have: members("a", "b~", "c"), launch: "a"},
		{name: "unhealthy: wait for the replacement", want: want(0, 3, 3), have: members("a", "b~", "c", "a?")},
		{name: "unhealthy: then end it", want: want(0, 3, 3), have: members("a", "b~", "c", "a"), end: "i01 "},
		{name: "unhealthy: both at once by policy", want: parallel, have: members("a", "b~", "c"), launch: "b", end: "i01 "},
		{name: "unhealthy: no more at once than may be missing", want: careful, have: members(forty...), launch: "ba", end: "i00 i01 "},
		{name: "marked unhealthy: launch first, it serves meanwhile", want: want(0, 3, 3), have: members("a", "bx", "c"), launch: "a"},
		{name: "marked unhealthy: then end it", want: want(0, 3, 3), have: members("a", "bx", "c", "a"), end: "i01 "},
		{name: "marked unhealthy goes before the unhealthy", want: want(0, 3, 3), have: members("a~", "bx", "c", "a"), launch: "b", end: "i01 "},
		{name: "marked unhealthy does not wait for launches", want: loose, have: members("ax", "b", "c", "a?"), end: "i00 ", launch: "a"},
		{name: "marked unhealthy, whatever is suspended of its checks", want: suspend(want(0, 3, 3), processHealthCheck), have: members("a", "bx", "c"), launch: "a"},
		{name: "unhealthy: a tenth at a time", want: want(0, 20, 30), launch: "ca",
			have: members("a~", "b~", "c~", "a~", "b~", "c~", "a", "b", "c", "a", "b", "c", "a", "b", "c", "a", "b", "c", "a", "b")},
		{name: "all unhealthy: fewer", want: want(0, 20, 30), launch: "c",
			have: members("a~", "b~", "c~", "a~", "b~", "c~", "a~", "b~", "c~", "a~", "b~", "c~", "a~", "b~", "c~", "a~", "b~", "c~", "a~", "b~")},
		{name: "unhealthy waits while launches leave the group a tenth short", want: want(0, 4, 4), have: members("a~", "b", "c", "a?")},
		{name: "health check suspended", want: suspend(want(0, 3, 3), processHealthCheck), have: members("a!", "b~", "c")},
		{name: "replacing suspended", want: suspend(want(0, 3, 3), processReplaceUnhealthy), have: members("a!", "b~", "c")},
		{name: "launch suspended still ends", want: suspend(want(0, 3, 3), processLaunch), have: members("a!", "b", "c"), end: "i00 "},
		{name: "launch suspended ends the unhealthy, while others serve", want: suspend(want(0, 3, 3), processLaunch), have: members("a~", "b", "c"), end: "i00 "},
		{name: "launch suspended and all unhealthy: nothing could replace them", want: suspend(want(0, 3, 3), processLaunch), have: members("a~", "b~", "c~")},
		{name: "protection is from scale-in alone: dead", want: want(0, 3, 3), have: members("a*!", "b", "c"), launch: "a", end: "i00 "},
		{name: "protection is from scale-in alone: unhealthy", want: want(0, 3, 3), have: members("a*~", "b", "c", "a"), end: "i00 "},
		{name: "dead before it was ever healthy: at once, whatever its grace", want: want(0, 3, 3), have: members("a?!", "b", "c"), launch: "a", end: "i00 "},
		{name: "desired below the least", want: want(2, 0, 3), have: members("a"), launch: "b"},
		{name: "desired above the most", want: want(0, 9, 0), have: members("a"), end: "i00 "},
		{name: "terminate suspended does not replace", want: suspend(want(0, 3, 3), processTerminate), have: members("a!", "b", "c")},
		{name: "terminate suspended does not shrink", want: suspend(want(0, 1, 3), processTerminate), have: members("a", "b", "c")},
		{name: "scale in: fullest zone, oldest", want: want(0, 3, 5), have: members("a", "b", "b", "c", "b"), end: "i01 i02 "},
		{name: "scale in: not serving first", want: want(0, 3, 5), have: members("a", "b", "c", "a", "a?"), end: "i04 i00 "},
		{name: "scale in: unhealthy first, whatever its zone", want: want(0, 3, 5), have: members("a", "a", "b", "c~"), end: "i03 "},
		{name: "scale in: zone with an unprotected one", want: want(0, 2, 5), have: members("a*", "a*", "b"), end: "i02 "},
		{name: "scale in: all protected", want: want(0, 1, 5), have: members("a*", "b*")},
		{name: "zone down: others take over", want: down(want(0, 3, 3), "a"), have: members("a!", "b", "c"), launch: "b", end: "i00 "},
		{name: "zone back: launch first", want: want(0, 3, 3), have: members("b", "b", "c"), launch: "ar"},
		{name: "zone back, more instances", want: want(0, 4, 4), have: members("b", "b", "c", "c"), launch: "ar"},
		{name: "rebalance: wait", want: want(0, 4, 4), have: members("b", "b", "c", "c", "ar?")},
		{name: "rebalance: then end", want: want(0, 4, 4), have: members("b", "b", "c", "c", "ar"), end: "i00 "},
		{name: "rebalance suspended", want: suspend(want(0, 4, 4), processAZRebalance), have: members("b", "b", "c", "c")},
		{name: "standby is not counted", want: want(0, 2, 3), have: members("as", "b", "c")},
		{name: "standby that ended goes without replacement", want: want(0, 2, 3), have: members("as!", "b", "c"), end: "i00 "},
		{name: "failing launches a tenth at a time", want: failing, have: nil, launch: "a"},
		{name: "failing waits for the one it launched", want: failing, have: members("a?")},
		{name: "back-off", want: later, have: members("a", "b"), waiting: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := plan(c.want, c.have, epoch)
			if zonesOf(got) != c.launch || ended(got) != c.end || !got.Wake.IsZero() != c.waiting {
				t.Errorf("launch %q end %q wake %v; want %q %q %v", zonesOf(got), ended(got), got.Wake, c.launch, c.end, c.waiting)
			}
		})
	}
}

// world carries out changes with random failures, to test the results of plan.
type world struct {
	want    desired
	members []member
	next    int
}

func (w *world) apply(c changes) {
	for _, e := range c.End {
		w.members = slices.DeleteFunc(w.members, func(m member) bool { return m.ID == e.ID })
	}
	for _, l := range c.Launch {
		w.next++
		w.members = append(w.members, member{ID: fmt.Sprintf("n%04d", w.next), Zone: l.Zone, Lifecycle: driver.Pending,
			Running: true, Live: true, Rebalancing: l.Rebalance, Launched: epoch.Add(time.Duration(w.next) * time.Second)})
	}
}

func (w *world) healthy() int {
	return len(count(w.want, w.members).healthy)
}

// With failures in any order: an end never removes a needed healthy instance, the
// group never exceeds its allowance, nothing starts in a zone that is down, and
// once failures stop the group reaches its goal.
func TestPlanNeverHarmsAndConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(0, 25).Draw(t, "size")
		w := &world{want: want(0, size, 25)}
		if rapid.Bool().Draw(t, "parallel") {
			w.want.Maintenance = pipeline.Maintenance{MinHealthy: 90, MaxHealthy: 120}
		}
		step := func() {
			before, had := w.healthy(), len(count(w.want, w.members).healthy)+len(count(w.want, w.members).pending)+len(count(w.want, w.members).unhealthy)
			c := plan(w.want, w.members, epoch)
			for _, l := range c.Launch {
				for _, z := range w.want.Zones {
					if z.Name == l.Zone && z.Down {
						t.Fatalf("launch in zone %s, which is down", z.Name)
					}
				}
			}
			w.apply(c)
			if after := w.healthy(); after < before && after < w.want.Capacity.Desired {
				t.Fatalf("%d healthy became %d of %d desired: %v", before, after, w.want.Capacity.Desired, c)
			}
			size := w.want.Capacity.Desired
			all := count(w.want, w.members)
			total := len(all.healthy) + len(all.pending) + len(all.unhealthy)
			if limit := size + max(1, size*(w.want.Maintenance.MaxHealthy-100)/100); total > limit && total > had {
				t.Fatalf("%d instances, at most %d allowed: %v", total, limit, c)
			}
			if again := plan(w.want, w.members, epoch); len(again.End) > 0 && len(c.End) == 0 && len(c.Launch) == 0 {
				t.Fatalf("the same picture gave two answers")
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) {},
			"plan": func(*rapid.T) {
				step()
			},
			"ready": func(t *rapid.T) {
				if i := pick(t, w.members, func(m member) bool { return m.Lifecycle == driver.Pending && m.Running }); i >= 0 {
					w.members[i].Lifecycle = driver.InService
				}
			},
			"die": func(t *rapid.T) {
				if i := pick(t, w.members, func(m member) bool { return m.Running }); i >= 0 {
					w.members[i].Running = false
				}
			},
			"failChecks": func(t *rapid.T) {
				if i := pick(t, w.members, func(m member) bool { return m.Lifecycle == driver.InService }); i >= 0 {
					w.members[i].Live = !w.members[i].Live
				}
			},
			"protect": func(t *rapid.T) {
				if i := pick(t, w.members, func(member) bool { return true }); i >= 0 {
					w.members[i].Protected = !w.members[i].Protected
				}
			},
			"resize": func(t *rapid.T) { w.want.Capacity.Desired = rapid.IntRange(0, 25).Draw(t, "to") },
			"zone": func(t *rapid.T) {
				i := rapid.IntRange(0, 2).Draw(t, "zone")
				w.want.Zones[i].Down = !w.want.Zones[i].Down
				for j := range w.members {
					if w.want.Zones[i].Down && w.members[j].Zone == w.want.Zones[i].Name {
						w.members[j].Running = false
					}
				}
			},
			"suspend": func(t *rapid.T) {
				p := rapid.SampledFrom([]string{processLaunch, processTerminate, processAZRebalance, processHealthCheck, processReplaceUnhealthy}).Draw(t, "process")
				w.want.Suspended[p] = !w.want.Suspended[p]
			},
		})
		// Failures stop: every start succeeds and no launch is delayed.
		w.want.Suspended = map[string]bool{}
		for i := range w.want.Zones {
			w.want.Zones[i].Down = false
		}
		for i := range w.members {
			w.members[i].Protected = false
		}
		for range 200 {
			step()
			for i := range w.members {
				if w.members[i].Running && w.members[i].Lifecycle == driver.Pending {
					w.members[i].Lifecycle = driver.InService
				}
			}
		}
		counts := map[string]int{"a": 0, "b": 0, "c": 0}
		for _, m := range w.members {
			if !m.Running || !m.Live {
				t.Fatalf("%s is still there: %+v", m.ID, m)
			}
			counts[m.Zone]++
		}
		size = w.want.Capacity.Desired
		if total := counts["a"] + counts["b"] + counts["c"]; total != size {
			t.Fatalf("%d instances, %d desired", total, size)
		}
		if low, high := min(counts["a"], counts["b"], counts["c"]), max(counts["a"], counts["b"], counts["c"]); high-low > 1 {
			t.Fatalf("zones are uneven: %v", counts)
		}
	})
}

func pick(t *rapid.T, list []member, fits func(member) bool) int {
	var at []int
	for i, m := range list {
		if fits(m) {
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		return -1
	}
	return rapid.SampledFrom(at).Draw(t, "member")
}
