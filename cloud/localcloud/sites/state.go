package sites

import (
	"slices"
	"time"

	"showrunner/cloud/driver"
)

// object is one immutable object of a deployment.
type object struct {
	ID       string    `json:"id"`     // its file in objects/
	Digest   string    `json:"digest"` // of the content, as in the artifact
	Size     int64     `json:"size"`
	ETag     string    `json:"etag"` // quoted
	Type     string    `json:"type"`
	Cache    string    `json:"cache"`
	Modified time.Time `json:"modified"`
}

// index lists the objects of a deployment. Its file is named by a digest of its
// content.
type index map[string]object

// deployment is one content of one part of a site.
type deployment struct {
	driver.SiteDeployment
	Index       string    `json:"index"`  // digest of the index file
	Scope       string    `json:"scope"`  // the part of the site: its prefix, or the key of an archive
	Suffix      string    `json:"suffix"` // of folders' index documents
	Error       string    `json:"error,omitempty"`
	Keep        int       `json:"keep"`
	Existing    bool      `json:"existing,omitempty"` // the bucket existed before: its own settings and policy decide what visitors see
	Fingerprint string    `json:"fingerprint"`        // equal fingerprints mean equal indexes
	Superseded  time.Time `json:"superseded,omitzero"`
}

// activation records one time that a deployment went live.
type activation struct {
	Scope      string `json:"scope"`
	Deployment string `json:"deployment"`
	Order      int64  `json:"order"`
}

// recordedAnswer is the answer for an idempotency key.
type recordedAnswer struct {
	Key        string                `json:"key"`
	Deployment driver.SiteDeployment `json:"deployment"`
}

// prepared is a deployment whose objects are in the region before it goes live.
type prepared struct {
	deployment
	Order int64 `json:"order"`
}

// state is the whole saved state of a site, in one file that is replaced as a
// whole.
type state struct {
	Version     int              `json:"version"`
	Deployments []deployment     `json:"deployments"` // oldest first
	Activations []activation     `json:"turns"`       // oldest first
	Done        []recordedAnswer `json:"done"`        // oldest first
	Prepared    []prepared       `json:"prepared,omitempty"`
	// Moving names the index that the bucket may have been partly changed to;
	// empty when the bucket matches the live deployments.
	Moving string `json:"moving,omitempty"`
}

const (
	stateVersion    = 1
	keptActivations = 256
	keptDone        = 512
	keptPrepared    = 4
)

// live is the last activation of a scope.
func (s *state) live(scope string) (activation, bool) {
	for i := len(s.Activations) - 1; i >= 0; i-- {
		if s.Activations[i].Scope == scope {
			return s.Activations[i], true
		}
	}
	return activation{}, false
}

// current are the live deployments of all scopes, in the order in which they went
// live: if two have the same key, the later one counts.
func (s *state) current() []deployment {
	var list []deployment
	seen := map[string]bool{}
	for i := len(s.Activations) - 1; i >= 0; i-- {
		if t := s.Activations[i]; !seen[t.Scope] {
			seen[t.Scope] = true
			if d := s.find(t.Deployment); d != nil {
				list = append(list, *d)
			}
		}
	}
	slices.Reverse(list)
	return list
}

// documents are the index and error documents of the whole site: those of the
// deployment at its root, otherwise of the latest.
func (s *state) documents() (document, errorDocument string) {
	document = "index.html"
	for _, d := range s.current() {
		if document, errorDocument = d.Suffix, d.Error; d.Scope == "" {
			break
		}
	}
	return document, errorDocument
}

// existing says whether the deployment that documents uses is in a bucket that
// existed before.
func (s *state) existing() bool {
	is := false
	for _, d := range s.current() {
		if is = d.Existing; d.Scope == "" {
			break
		}
	}
	return is
}

// rollbackTarget is the deployment that a rollback of a scope returns to, nil when there
// is none. Going live pushes a deployment onto a stack; returning to a deployment
// in the stack removes those above it. So a rollback never returns to a
// deployment that was rolled back.
func (s *state) rollbackTarget(scope string) *deployment {
	var stack []string
	for _, t := range s.Activations {
		if t.Scope != scope {
			continue
		}
		if i := slices.Index(stack, t.Deployment); i >= 0 {
			stack = stack[:i]
		}
		stack = append(stack, t.Deployment)
	}
	for i := len(stack) - 2; i >= 0; i-- {
		if d := s.find(stack[i]); d != nil {
			return d
		}
	}
	return nil
}

func (s *state) find(id string) *deployment {
	for i := range s.Deployments {
		if s.Deployments[i].ID == id {
			return &s.Deployments[i]
		}
	}
	return nil
}

func (s *state) answer(key string) (driver.SiteDeployment, bool) {
	for i := len(s.Done) - 1; i >= 0; i-- {
		if s.Done[i].Key == key {
			return s.Done[i].Deployment, true
		}
	}
	return driver.SiteDeployment{}, false
}

// goLive records that a deployment is now live.
func (s *state) goLive(d *deployment, order int64, key string, now time.Time) {
	if t, ok := s.live(d.Scope); ok && t.Deployment != d.ID {
		if old := s.find(t.Deployment); old != nil {
			old.Superseded = now
		}
	}
	d.Superseded = time.Time{}
	s.Activations = append(s.Activations, activation{Scope: d.Scope, Deployment: d.ID, Order: order})
	s.trimActivations()
	s.Done = append(s.Done, recordedAnswer{Key: key, Deployment: d.SiteDeployment})
	if n := len(s.Done) - keptDone; n > 0 {
		s.Done = s.Done[n:]
	}
}

// trimActivations forgets old activations, but never the last of a scope.
func (s *state) trimActivations() {
	n := len(s.Activations) - keptActivations
	if n <= 0 {
		return
	}
	last := map[string]int{}
	for i, t := range s.Activations {
		last[t.Scope] = i
	}
	var kept []activation
	for i, t := range s.Activations {
		if i >= n || last[t.Scope] == i {
			kept = append(kept, t)
		}
	}
	s.Activations = kept
}

// prune drops the deployments that need not be kept: in each scope those beyond
// its Keep newest, unless they are live, were live just before, or were replaced
// less than grace ago. It returns the dropped ones.
func (s *state) prune(now time.Time, grace time.Duration) []deployment {
	keep := map[string]bool{}
	for _, d := range s.current() {
		keep[d.ID] = true
		if p := s.rollbackTarget(d.Scope); p != nil {
			keep[p.ID] = true
		}
		for i, n := len(s.Deployments)-1, 0; i >= 0 && n < d.Keep; i-- {
			if s.Deployments[i].Scope == d.Scope {
				keep[s.Deployments[i].ID] = true
				n++
			}
		}
	}
	var kept, dropped []deployment
	for _, d := range s.Deployments {
		if keep[d.ID] || now.Sub(d.Superseded) < grace {
			kept = append(kept, d)
		} else {
			dropped = append(dropped, d)
		}
	}
	s.Deployments = kept
	return dropped
}

// prepare keeps a deployment that will go live, and drops the oldest prepared
// ones beyond the limit.
func (s *state) prepare(p prepared) (dropped []deployment) {
	s.Prepared = append(s.Prepared, p)
	for len(s.Prepared) > keptPrepared {
		dropped = append(dropped, s.Prepared[0].deployment)
		s.Prepared = s.Prepared[1:]
	}
	return dropped
}

// dropOvertaken drops prepared deployments of a scope that can no longer go live.
func (s *state) dropOvertaken(scope string, order int64) (dropped []deployment) {
	var kept []prepared
	for _, p := range s.Prepared {
		if p.Scope == scope && p.Order <= order {
			dropped = append(dropped, p.deployment)
		} else {
			kept = append(kept, p)
		}
	}
	s.Prepared = kept
	return dropped
}

// indexes are the digests of all indexes that are needed.
func (s *state) indexes() map[string]bool {
	needed := map[string]bool{}
	for _, d := range s.Deployments {
		needed[d.Index] = true
	}
	for _, p := range s.Prepared {
		needed[p.Index] = true
	}
	return needed
}
