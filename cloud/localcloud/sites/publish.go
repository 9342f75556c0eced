package sites

import (
	"cmp"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"showrunner/artifact"
	"showrunner/cloud/driver"
	"showrunner/pipeline"
	"showrunner/problem"
)

// workers is how many objects are copied or placed in parallel.
const workers = 8

// Prepare copies the objects for a publish of the same request and key, and
// serves its page assets: a visitor who got the new page in another region finds
// its assets here. Nothing else changes. Errors: as of Publish.
func (s *Sites) Prepare(ctx context.Context, req driver.PublishRequest, key string, progress func(done, total int)) (driver.SiteDeployment, error) {
	t, release, err := s.begin(ctx, req)
	if err != nil {
		return driver.SiteDeployment{}, err
	}
	defer release()
	if d, ok := s.answered(t, key); ok {
		return d, nil
	}
	p, err := s.ready(ctx, t, req, key, progress)
	if err != nil {
		return driver.SiteDeployment{}, err
	}
	st := t.now()
	if st.indexes()[p.deployment.Index] {
		return p.deployment.SiteDeployment, nil // it is, or was, live or prepared
	}
	next := st.clone()
	dropped := next.prepare(prepared{p.deployment, p.order})
	err = s.change(t, next, nil)
	if err == nil {
		err = s.forget(t, dropped)
	}
	if err != nil {
		return driver.SiteDeployment{}, problem.Wrap(err, "", "sites.prepare", "preparing site %s in %s", t.name, s.config.Region)
	}
	return p.deployment.SiteDeployment, nil
}

// Publish makes an artifact the site's content. The same key returns the same
// deployment, also after a crash in between. Publishes of one site happen one
// after the other; a publish with a lower order than the live deployment is
// refused with conflict. Errors: invalid, not_found (the artifact), conflict,
// unavailable.
func (s *Sites) Publish(ctx context.Context, req driver.PublishRequest, key string, progress func(done, total int)) (driver.SiteDeployment, error) {
	t, release, err := s.begin(ctx, req)
	if err != nil {
		return driver.SiteDeployment{}, err
	}
	defer release()
	if d, ok := s.answered(t, key); ok {
		return d, nil
	}
	p, err := s.ready(ctx, t, req, key, progress)
	if err != nil {
		return driver.SiteDeployment{}, err
	}
	d, err := s.move(ctx, t, p.deployment, p.order, key, true)
	if err != nil {
		return driver.SiteDeployment{}, problem.Wrap(err, "", "sites.publish", "publishing site %s in %s", t.name, s.config.Region)
	}
	return d, nil
}

// begin checks the request's name and takes the site's lock.
func (s *Sites) begin(ctx context.Context, req driver.PublishRequest) (*site, func(), error) {
	if err := driver.CheckSiteName(req.Config.Site); err != nil {
		return nil, nil, err
	}
	t, err := s.site(req.Config.Site, true)
	if err != nil {
		return nil, nil, err
	}
	release, err := t.take(ctx)
	return t, release, err
}

// ready makes the plan, and copies all objects that it needs to the region.
func (s *Sites) ready(ctx context.Context, t *site, req driver.PublishRequest, key string, progress func(done, total int)) (*plan, error) {
	p, err := s.plan(ctx, t, req, key)
	if err != nil {
		return nil, err
	}
	if err := p.fence(); err != nil {
		return nil, err
	}
	if err := s.stage(ctx, t, p, progress); err != nil {
		return nil, problem.Wrap(err, "", "sites.publish", "copying the objects of site %s into %s", t.name, s.config.Region)
	}
	for _, before := range t.now().Prepared {
		if before.ID == p.deployment.ID {
			p.deployment.Bytes += before.Bytes // the objects were copied earlier
		}
	}
	return p, nil
}

// answered returns the recorded answer of a key.
func (s *Sites) answered(t *site, key string) (driver.SiteDeployment, bool) {
	st := t.now()
	d, ok := st.answer(key)
	if !ok {
		return d, false
	}
	d.Current = slices.ContainsFunc(st.current(), func(c deployment) bool { return c.ID == d.ID })
	return d, true
}

// plan is the computed content of a publish.
type plan struct {
	deployment deployment
	order      int64
	live       activation
	content    map[string]wanted // key → content; nil when the index is known already
	known      index             // objects that the region has, by key, as now live
}

func (p *plan) fence() error {
	if p.order >= p.live.Order {
		return nil
	}
	return problem.New(problem.Conflict, "sites.publish", "deployment %s of site %s is newer and live already", p.live.Deployment, p.deployment.Site).
		WithHelp("nothing was changed; run the pipeline again to publish this version after all")
}

func (s *Sites) plan(ctx context.Context, t *site, req driver.PublishRequest, key string) (*plan, error) {
	c := req.Config
	scope, err := scopeOf(c)
	if err != nil {
		return nil, err
	}
	st := t.now()
	p := &plan{order: req.Order, known: index{}}
	p.live, _ = st.live(scope)
	now := s.config.Now().UTC()
	if p.order == 0 {
		p.order = max(now.UnixNano(), p.live.Order+1)
	}
	p.deployment = deployment{
		SiteDeployment: driver.SiteDeployment{
			ID: deploymentID(t.name, key), Site: t.name, Region: s.config.Region, Artifact: req.Artifact,
			Version: req.Version, Execution: req.Execution, Prefix: cleanPrefix(c.Prefix), Archive: c.Archive, At: now.Format(time.RFC3339Nano),
		},
		Scope: scope, Suffix: cmp.Or(c.Index, "index.html"), Error: c.Error, Keep: cmp.Or(max(c.Keep, 0), 10), Existing: c.Existing,
		Fingerprint: fingerprint(req),
	}
	if live := st.find(p.live.Deployment); live != nil {
		if p.known, err = t.files.loadIndex(live.Index); err != nil {
			return nil, problem.Wrap(err, problem.Internal, "sites.publish", "reading the live deployment of site %s", t.name)
		}
		if live.Fingerprint == p.deployment.Fingerprint {
			p.deployment.Index = live.Index
			p.deployment.Unchanged = len(p.known)
			return p, nil
		}
	}
	p.content, err = s.content(ctx, req)
	return p, err
}

// deploymentID is the same in every region, and for every try of the same
// publish.
func deploymentID(site, key string) string {
	sum := sha256.Sum256([]byte(site + "\x00" + key))
	return "d-" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:8]))
}

// fingerprint is equal for requests that produce the same index.
func fingerprint(req driver.PublishRequest) string {
	c := req.Config
	data, err := json.Marshal([]any{layout, req.Artifact, cleanPrefix(c.Prefix), c.Archive, c.CacheControl})
	if err != nil {
		panic(err) // strings can always be encoded
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// layout changes when the same artifact would produce another index: with the
// table of types, the rules of caching, or the form of an object's name.
const layout = 1

func cleanPrefix(prefix string) string { return strings.Trim(path.Clean("/"+prefix), "/") }

// scopeOf names the part of the site that a deployment replaces.
func scopeOf(c pipeline.DeploySite) (string, error) {
	prefix := cleanPrefix(c.Prefix)
	if c.Archive == "" {
		return prefix, nil
	}
	key := path.Join(prefix, c.Archive)
	if err := checkObjectKey(key); err != nil {
		return "", err
	}
	return "archive:" + key, nil
}

func checkObjectKey(key string) error {
	if fs.ValidPath(key) && key != "." && len(key) <= 1024 && !strings.HasPrefix(key, ".sgwtmp") && !strings.ContainsRune(key, 0) {
		return nil
	}
	return problem.New(problem.Invalid, "sites.publish", "%q cannot be the name of an object", key).
		WithHelp("at most 1024 bytes, no empty, \".\" or \"..\" part")
}

// stage copies the objects that the region does not have, and writes the index.
func (s *Sites) stage(ctx context.Context, t *site, p *plan, progress func(done, total int)) error {
	if p.content == nil {
		return nil
	}
	x := make(index, len(p.content))
	have, err := s.kept(t)
	if err != nil {
		return err
	}
	type job struct {
		key string
		wanted
	}
	var jobs []job
	for key, w := range p.content {
		if live, ok := p.known[key]; ok && live.ID == w.ID {
			x[key] = live
			p.deployment.Unchanged++
			continue
		}
		p.deployment.Uploaded++
		if o, ok := have[w.ID]; ok {
			x[key] = o // as in an earlier deployment: no copy is needed
			continue
		}
		jobs = append(jobs, job{key, w})
	}
	slices.SortFunc(jobs, func(a, b job) int { return strings.Compare(a.key, b.key) })
	copied := make([]object, len(jobs))
	var count atomic.Int64
	progress(0, len(jobs))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for i, j := range jobs {
		if gctx.Err() != nil {
			break
		}
		group.Go(func() (err error) {
			copied[i], err = s.copyIn(gctx, t, j.wanted)
			progress(int(count.Add(1)), len(jobs))
			return err
		})
	}
	if err := errors.Join(group.Wait(), context.Cause(ctx)); err != nil {
		return err
	}
	for i, j := range jobs {
		x[j.key] = copied[i]
		p.deployment.Bytes += copied[i].Size
	}
	s.crash("staged")
	p.deployment.Index, err = t.files.saveIndex(x)
	return err
}

// kept are the objects of all kept and prepared deployments, by ID.
func (s *Sites) kept(t *site) (map[string]object, error) {
	have := map[string]object{}
	for digest := range t.now().indexes() {
		x, err := t.files.loadIndex(digest)
		if err != nil {
			return nil, err
		}
		for _, o := range x {
			have[o.ID] = o
		}
	}
	return have, nil
}

// copyIn makes the object's file. The file gets its name only when it is
// complete.
func (s *Sites) copyIn(ctx context.Context, t *site, w wanted) (object, error) {
	o := w.object
	f, err := os.CreateTemp(t.files.tmp(), "object-*") // 0600
	if err != nil {
		return o, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	sum := md5.New() // what S3 calls an ETag
	out := io.MultiWriter(f, sum)
	if w.archive != "" {
		err = s.config.Artifacts.WriteArchive(ctx, w.archive, artifact.Zip, out)
	} else {
		var in io.ReadCloser
		if in, err = s.config.Artifacts.OpenBlob(ctx, o.Digest); err == nil {
			_, err = io.Copy(out, in)
			err = errors.Join(err, in.Close())
		}
	}
	if err != nil {
		return o, err
	}
	info, err := f.Stat()
	if err != nil {
		return o, err
	}
	o.ETag = `"` + hex.EncodeToString(sum.Sum(nil)) + `"`
	o.Size, o.Modified = info.Size(), info.ModTime().UTC().Truncate(time.Second)
	if err := s.config.Objects.Stage(f, attributes(o)); err != nil {
		return o, err
	}
	name := t.files.object(o.ID)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return o, err
	}
	return o, os.Rename(f.Name(), name)
}
