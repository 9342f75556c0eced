package sites

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"showrunner/cloud/localcloud/objectstore"
)

// view is a site's content for visitors: never changed, only replaced.
type view struct {
	entries  map[string]visibleObject // what is live
	late     map[string]visibleObject // page assets of deployments that were live, or will be soon
	latest   string                   // the deployment that went live last
	document string
	error    string
	// existing says that the bucket's own settings and policy decide what
	// visitors see.
	existing bool
}

// visibleObject is one object as visitors get it.
type visibleObject struct {
	object
	deployment string
	until      time.Time // set for late objects; zero means as long as they are kept
}

// look makes the view of a state.
func (s *Sites) look(t *site, st *state) (*view, error) {
	v := &view{entries: map[string]visibleObject{}, late: map[string]visibleObject{}}
	v.document, v.error = st.documents()
	v.existing = st.existing()
	live := map[string]bool{}
	for _, d := range st.current() {
		x, err := t.files.loadIndex(d.Index)
		if err != nil {
			return nil, err
		}
		for key, o := range x {
			v.entries[key] = visibleObject{object: o, deployment: d.ID}
		}
		v.latest = d.ID
		live[d.Index] = true
	}
	for i := len(st.Deployments) - 1; i >= 0; i-- { // the newest first
		d := st.Deployments[i]
		if live[d.Index] {
			continue
		}
		live[d.Index] = true
		x, err := t.files.loadIndex(d.Index)
		if errors.Is(err, fs.ErrNotExist) {
			continue // dropped, but a crash came before that was recorded
		}
		if err != nil {
			return nil, err
		}
		v.addLate(d, x)
	}
	for _, p := range slices.Backward(st.Prepared) {
		x, err := t.files.loadIndex(p.Index)
		if err != nil {
			return nil, err
		}
		v.addEarly(p.deployment, x)
	}
	return v, nil
}

// addEarly adds the page assets of a deployment that will go live.
func (v *view) addEarly(d deployment, x index) {
	for key, o := range x {
		_, is := v.entries[key]
		if _, was := v.late[key]; !is && !was && isPageAsset(key) {
			v.late[key] = visibleObject{object: o, deployment: d.ID}
		}
	}
}

func (v *view) addLate(d deployment, x index) {
	for key, o := range x {
		if _, is := v.entries[key]; is || !isPageAsset(key) {
			continue
		}
		if _, newer := v.late[key]; newer {
			continue
		}
		o := visibleObject{object: o, deployment: d.ID}
		if !isHashed(key) {
			o.until = d.Superseded.Add(Grace)
		}
		v.late[key] = o
	}
}

// content is an open object and its metadata.
type content struct {
	*os.File
	size       int64
	modified   time.Time
	attributes objectstore.Attributes
	deployment string
}

// siteSnapshot finds a site's objects for one request: all its answers come from
// one view.
type siteSnapshot struct {
	sites *Sites
	name  string
	site  *site // nil for a bucket without deployments
	view  *view
	plain plainSite // set when there is no site
	// policy says which objects of the bucket the public may read.
	policy plainSite
	own    func(key string) bool
}

// snapshot opens the site of that name for a visitor.
func (s *Sites) snapshot(ctx context.Context, name string) (*siteSnapshot, bool) {
	if t, err := s.site(name, false); err == nil {
		t.mu.RLock()
		v, ours := t.view, len(t.state.Activations) > 0 || t.state.Moving != ""
		t.mu.RUnlock()
		if ours { // this holds even before its first deployment is complete: the bucket may be half changed
			if !s.config.Objects.HasBucket(name) {
				return nil, false // an S3 client removed it
			}
			p, is := s.plainSite(ctx, name)
			if v.existing && !is {
				return nil, false
			}
			return &siteSnapshot{sites: s, name: name, site: t, view: v, policy: p, own: t.owns}, true
		}
	}
	p, ok := s.plainSite(ctx, name)
	return &siteSnapshot{sites: s, name: name, plain: p, policy: p}, ok
}

// ours says whether the deployments determine the index and error documents.
func (h *siteSnapshot) ours() bool { return h.site != nil && !h.view.existing }

func (h *siteSnapshot) document() string {
	if h.ours() {
		return h.view.document
	}
	if d := h.policy.IndexDocument; d != nil {
		return d.Suffix
	}
	return "index.html"
}

func (h *siteSnapshot) errorDocument() string {
	if h.ours() {
		return h.view.error
	}
	if d := h.policy.ErrorDocument; d != nil {
		return d.Key
	}
	return ""
}

// find returns the live or late object of a deployment; bucket says that the key
// belongs to the bucket instead.
func (h *siteSnapshot) find(key string) (o visibleObject, ok, bucket bool) {
	if h.site == nil || h.own(key) {
		return visibleObject{}, false, true
	}
	if o, ok := h.view.entries[key]; ok {
		return o, true, false
	}
	o, ok = h.view.late[key]
	if ok && !o.until.IsZero() && h.sites.config.Now().After(o.until) {
		return visibleObject{}, false, false
	}
	return o, ok, false
}

// has says whether the object exists, without opening it where possible.
func (h *siteSnapshot) has(key string) bool {
	_, ok, bucket := h.find(key)
	if !bucket {
		return ok
	}
	c := h.open(key)
	if c == nil {
		return false
	}
	c.Close()
	return true
}

// open returns nil when the object does not exist, or visitors may not see it.
func (h *siteSnapshot) open(key string) *content {
	o, ok, bucket := h.find(key)
	switch {
	case bucket:
		return h.openBucket(key)
	case !ok, h.view.existing && !h.policy.Public(key):
		return nil
	}
	f, err := os.Open(h.site.files.object(o.ID))
	if err != nil {
		h.sites.config.Log.Error("an object of a live deployment cannot be read", "site", h.name, "key", key, "error", err)
		return nil
	}
	return &content{File: f, size: o.Size, modified: o.Modified, attributes: attributes(o.object), deployment: o.deployment}
}

func (h *siteSnapshot) openBucket(key string) *content {
	if !h.policy.Public(key) {
		return nil
	}
	o, err := h.sites.config.Objects.OpenObject(h.name, key)
	if err != nil {
		return nil
	}
	c := &content{File: o.File, size: o.Size, modified: o.Modified, attributes: o.Attributes}
	if t := c.attributes.ContentType; t == "" || t == "binary/octet-stream" {
		c.attributes.ContentType = typeOf(key)
	}
	return c
}

// folder says whether there is an index document under the key.
func (h *siteSnapshot) folder(key string) bool {
	return key != "" && !strings.HasSuffix(key, "/") && h.has(path.Join(key, h.document()))
}

// plainSite is a bucket that an S3 client made a website.
type plainSite struct {
	objectstore.Website
	is bool
}

// plainSite finds a bucket that is a website. The result is cached until an S3
// client changes the bucket.
func (s *Sites) plainSite(ctx context.Context, name string) (plainSite, bool) {
	s.mu.RLock()
	p, known := s.plain[name]
	s.mu.RUnlock()
	if known || !s.config.Objects.HasBucket(name) {
		return p, p.is
	}
	w, err := s.config.Objects.Website(ctx, name)
	p = plainSite{Website: w, is: err == nil}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plain[name] = p
	return p, p.is
}

// forgetPlain removes the bucket's configuration from the cache.
func (s *Sites) forgetPlain(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.plain, name)
}

// siteName is the name of the site in a Host header.
func siteName(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.Contains(host[i:], "]") {
		host = host[:i]
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return cmp.Or(strings.TrimSuffix(host, ".localhost"), host)
}
