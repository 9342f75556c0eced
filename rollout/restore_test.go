package rollout_test

import (
	"slices"
	"testing"
	"time"

	"showrunner/cloud"
	"showrunner/rollout"
)

func TestRestorable(t *testing.T) {
	at := 0
	group := func(name, version string, weight float64) cloud.ServerGroup {
		at++
		return cloud.ServerGroup{Name: name, Weight: weight, Created: time.Unix(int64(at), 0), Spec: cloud.ServerGroupSpec{Version: version}}
	}
	old, now, bad := group("api-v000", "1", 0), group("api-v001", "2", 100), group("api-v002", "3", 0)
	until := func(g cloud.ServerGroup, seconds int64) cloud.ServerGroup {
		g.TrafficUntil = time.Unix(seconds, 0)
		return g
	}
	gone := group("api-v000", "1", 0)
	gone.Destroying = true
	for name, c := range map[string]struct {
		observed map[string][]cloud.ServerGroup
		to       string
		want     map[string]string
		missing  []string
	}{
		"the one before":                {map[string][]cloud.ServerGroup{"a": {old, now}}, "", map[string]string{"a": "api-v000"}, nil},
		"not one that is newer":         {map[string][]cloud.ServerGroup{"a": {old, now, bad}}, "", map[string]string{"a": "api-v000"}, nil},
		"not one that goes":             {map[string][]cloud.ServerGroup{"a": {gone, now}}, "", map[string]string{}, []string{"a"}},
		"the middle of a canary":        {map[string][]cloud.ServerGroup{"a": {old, group("api-v001", "2", 80), group("api-v002", "3", 20)}}, "", map[string]string{"a": "api-v001"}, nil},
		"only where the newest is":      {map[string][]cloud.ServerGroup{"a": {old, group("api-v001", "2", 100)}, "b": {group("api-v000", "0", 0), group("api-v001", "1", 100), group("api-v002", "2", 100)}}, "", map[string]string{"a": "api-v000", "b": "api-v001"}, nil},
		"a region that is before it":    {map[string][]cloud.ServerGroup{"a": {old, group("api-v001", "1", 100)}, "b": {old, group("api-v001", "2", 100)}}, "", map[string]string{"b": "api-v000"}, nil},
		"a version by name, everywhere": {map[string][]cloud.ServerGroup{"a": {old, now, bad}, "b": {old, now}}, "3", map[string]string{"a": "api-v002"}, []string{"b"}},
		"not one that was rolled back":  {map[string][]cloud.ServerGroup{"a": {until(old, 20), until(group("api-v001", "2", 0), 10), group("api-v002", "3", 100)}}, "", map[string]string{"a": "api-v000"}, nil},
		"nor one that never had any":    {map[string][]cloud.ServerGroup{"a": {until(old, 20), group("api-v001", "2", 0), group("api-v002", "3", 100)}}, "", map[string]string{"a": "api-v000"}, nil},
		"but by name, it":               {map[string][]cloud.ServerGroup{"a": {until(old, 20), until(group("api-v001", "2", 0), 10), group("api-v002", "3", 100)}}, "v001", map[string]string{"a": "api-v001"}, nil},
		"twice":                         {map[string][]cloud.ServerGroup{"a": {until(old, 10), group("api-v001", "2", 100), until(bad, 20)}}, "", map[string]string{"a": "api-v000"}, nil},
		"a group by its number":         {map[string][]cloud.ServerGroup{"a": {old, now, bad}}, "v002", map[string]string{"a": "api-v002"}, nil},
		"nothing in traffic":            {map[string][]cloud.ServerGroup{"a": {old, group("api-v001", "2", 0)}}, "", map[string]string{"a": "api-v001"}, nil},
	} {
		chosen, missing := rollout.Restorable(c.observed, c.to, nil)
		if len(chosen) != len(c.want) || !slices.Equal(missing, c.missing) {
			t.Errorf("%s: %d chosen, missing %v", name, len(chosen), missing)
		}
		for region, want := range c.want {
			if chosen[region].Name != want {
				t.Errorf("%s: %s in %s, want %s", name, chosen[region].Name, region, want)
			}
		}
	}
}
