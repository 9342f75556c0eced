package sites

import (
	"slices"
	"strings"

	"showrunner/cloud/driver"
)

// Changes lists the live objects that S3 clients have replaced or removed since
// the deployment, by key. Objects that no deployment placed belong to the clients
// and are not changes. While a deployment changes the bucket, there are none.
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
