package driver_test

import (
	"testing"

	"pgregory.net/rapid"

	"showrunner/cloud/driver"
	"showrunner/problem"
)

func TestCheckCluster(t *testing.T) {
	for name, ok := range map[string]bool{
		"storefront": true, "storefront-prod": true, "storefront-prod-blue": true, "storefront--blue": true,
		"storefront-prod-blue-green": true, "a.b_c-d.e": true, "storefront-prod-v1": true,
		"": false, "-prod": false, "storefront-": false, "storefront/x": false, "..": false, "store front": false,
		"storefront-prod-v001": false, "app-": false, "app--": false, "ä": false,
	} {
		if err := driver.CheckCluster(name); (err == nil) != ok {
			t.Errorf("CheckCluster(%q) = %v, want ok %v", name, err, ok)
		}
	}
}

func TestSequence(t *testing.T) {
	at := func(n int) *int { return &n }
	for _, c := range []struct {
		last  *int
		taken []int
		want  int
	}{
		{nil, nil, 0},
		{nil, []int{0}, 1},
		{at(0), nil, 1},
		{at(41), []int{42, 43}, 44},
		{at(999), nil, 0},
		{at(999), []int{0, 1, 999}, 2},
	} {
		taken := map[int]bool{}
		for _, n := range c.taken {
			taken[n] = true
		}
		got, err := driver.NextSequence("app", c.last, func(n int) bool { return taken[n] })
		if err != nil || got != c.want {
			t.Errorf("after %v with %v taken: %d, %v; want %d", c.last, c.taken, got, err, c.want)
		}
	}
	if _, err := driver.NextSequence("app", at(3), func(int) bool { return true }); problem.CodeOf(err) != problem.Conflict {
		t.Errorf("all taken: %v, want a conflict", err)
	}
}

// A generated name can be parsed.
func TestNamesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cluster := rapid.StringMatching(`[a-z0-9._]{1,6}(-[a-z0-9._]{0,4}-[a-z0-9.v-]{0,6}[a-z0-9]|-[a-z0-9]{1,4})?`).Draw(t, "cluster")
		if driver.CheckCluster(cluster) != nil {
			t.Skip()
		}
		seq := rapid.IntRange(0, 999).Draw(t, "seq")
		gotCluster, gotSeq, ok := driver.ParseServerGroup(driver.ServerGroupName(cluster, seq))
		if !ok || gotCluster != cluster || gotSeq != seq {
			t.Fatalf("got %q %d %v", gotCluster, gotSeq, ok)
		}
	})
}

func TestGuard(t *testing.T) {
	for _, c := range []struct {
		guard         driver.Guard
		before, after int
		ok            bool
	}{
		{driver.Guard{}, 3, 0, true},
		{driver.Guard{LastOne: true}, 3, 1, true},
		{driver.Guard{LastOne: true}, 3, 0, false},
		{driver.Guard{LastOne: true}, 0, 0, true},
		{driver.Guard{MinServing: 2}, 3, 2, true},
		{driver.Guard{MinServing: 2}, 3, 1, false},
		{driver.Guard{MinServing: 4}, 3, 2, false},
		{driver.Guard{MinServing: 4}, 3, 3, true},
		{driver.Guard{MinServing: 4}, 2, 3, true},
		{driver.Guard{Idle: true}, 3, 2, false},
		{driver.Guard{Idle: true}, 3, 3, true},
		{driver.Guard{Idle: true}, 0, 0, true},
	} {
		err := driver.CheckGuard(c.guard, "app", "r", c.before, c.after)
		if (err == nil) != c.ok || (err != nil && problem.CodeOf(err) != problem.Precondition) {
			t.Errorf("%+v %d→%d: %v, want ok %v", c.guard, c.before, c.after, err, c.ok)
		}
	}
}
