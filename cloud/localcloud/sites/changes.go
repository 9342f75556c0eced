package sites

import (
	"slices"
	"strings"

	"showrunner/cloud/driver"
)

// Changes lists the objects of what is live that S3 clients have replaced or
// removed since it went live, by key. Objects that no deployment placed are
// theirs, and no change. While a deployment moves the bucket there is none.
// Errors: not_found.
func (s *Sites) Changes(name string) ([]driver.SiteChange, error) {
	t, err := s.site(name, false)
	if err != nil {
		return nil, err
	}
	t.mu.RLock()
	v, moving := t.view, t.state.Moving != "" || t.touched != nil
	t.mu.RUnlock()
	list := []driver.SiteChange{}
	if moving {
		return list, nil
	}
	for key, o := range v.entries {
		change := driver.SiteChange{Key: key, Deployment: o.deployment, Change: "replaced"}
		if f, err := s.config.Objects.OpenObject(name, key); err != nil {
			change.Change = "removed"
		} else if f.Close(); !t.owns(key) {
			continue
		}
		list = append(list, change)
	}
	slices.SortFunc(list, func(a, b driver.SiteChange) int { return strings.Compare(a.Key, b.Key) })
	return list, nil
}
