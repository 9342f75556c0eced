package sites

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"showrunner/cloud/driver"
	"showrunner/problem"
)

// move switches the site from the live deployment to one whose objects and index
// are in the region. The site is consistent after each step: see the package's
// documentation. The caller holds the site's lock.
func (s *Sites) move(ctx context.Context, t *site, d deployment, order int64, key string, isNew bool) (driver.SiteDeployment, error) {
	st := t.now()
	next := st.clone()
	if isNew {
		next.Deployments = slices.DeleteFunc(next.Deployments, func(o deployment) bool { return o.ID == d.ID })
		next.Deployments = append(next.Deployments, d)
	}
	target := next.find(d.ID)
	x, err := t.files.loadIndex(target.Index)
	if err != nil {
		return driver.SiteDeployment{}, err
	}
	t.beginTouch()
	defer t.endTouch()
	target.Document, target.Nested = s.documents(ctx, t, target, x)
	before, after, err := s.merged(t, st, target.Scope, x)
	if err != nil {
		return driver.SiteDeployment{}, err
	}
	place, remove := t.differences(before, after, x)
	if target.Deleted = len(remove); isNew && target.Uploaded == 0 {
		target.Uploaded, target.Unchanged = len(place), len(x)-len(place) // keys that S3 clients had changed
	}
	next.goLive(target, order, key, s.config.Now())
	answer := target.SiteDeployment
	answer.Current = true
	dropped := append(next.prune(s.config.Now(), Grace), next.dropOvertaken(target.Scope, order)...)
	if err := s.open(ctx, t, next, target, len(place)+len(remove) > 0); err != nil {
		return driver.SiteDeployment{}, err
	}
	if err := s.place(ctx, t, place, after); err != nil {
		return driver.SiteDeployment{}, err
	}
	s.crash("placed")
	if len(place) > 0 {
		if err := syncAll(s.config.Dir); err != nil {
			return driver.SiteDeployment{}, err
		}
	}
	if next.Moving = ""; len(remove) > 0 {
		next.Moving = target.Index
	}
	if err := s.change(t, next, x); err != nil {
		return driver.SiteDeployment{}, err
	}
	s.crash("live")
	// The deployment is now live. The rest is clean-up, which the next start
	// repeats if it fails here.
	s.finish(t, remove, dropped)
	return answer, nil
}

// documents are the index documents of x for a deployment. In a bucket that
// existed before, visitors get only what the bucket's own settings and policy
// allow.
func (s *Sites) documents(ctx context.Context, t *site, d *deployment, x index) (document, nested string) {
	if !d.Existing {
		return x.documents(d.Prefix, d.Suffix)
	}
	p, is := s.plainSite(ctx, t.name)
	if !is || p.IndexDocument == nil {
		return "", ""
	}
	document, nested = x.documents(d.Prefix, p.IndexDocument.Suffix)
	if !p.Public(document) {
		return "", ""
	}
	return document, nested
}

// documents are the keys of the index document for a visitor of the prefix and,
// when there is none, of the nearest one below it; "" for none.
func (x index) documents(prefix, suffix string) (document, nested string) {
	if key := path.Join(prefix, suffix); x[key].ID != "" {
		return key, ""
	}
	depth := func(key string) int { return strings.Count(key, "/") }
	for key := range x {
		if strings.HasSuffix(key, "/"+suffix) && (nested == "" || depth(key) < depth(nested) || depth(key) == depth(nested) && key < nested) {
			nested = key
		}
	}
	return "", nested
}

// open makes the bucket. Before a change of the bucket it records the change
// durably.
func (s *Sites) open(ctx context.Context, t *site, next *state, target *deployment, moves bool) error {
	st := t.now()
	existed := s.config.Objects.HasBucket(t.name)
	if moves {
		pending := st.clone()
		pending.Moving = target.Index
		if err := t.record(pending); err != nil {
			return err
		}
	}
	if target.Existing {
		if !existed {
			return problem.New(problem.NotFound, "sites.publish", "there is no bucket %s in %s", t.name, s.config.Region).
				WithHelp("make it first: showrunner aws -- s3 mb s3://%s --region %s", t.name, s.config.Region)
		}
	} else {
		document, errorDocument := next.documents()
		if err := s.config.Objects.EnsureWebsite(ctx, t.name, document, errorDocument); err != nil {
			return err
		}
	}
	s.forgetPlain(t.name)
	if len(st.Activations) > 0 || !existed {
		return nil
	}
	// The bucket existed before any deployment: its content belongs to S3
	// clients.
	return s.config.Objects.Keys(t.name, t.own)
}

// merged are the objects of the whole site before and after x replaces the live
// deployment in its scope.
func (s *Sites) merged(t *site, st *state, scope string, x index) (before, after index, err error) {
	before, after = index{}, index{}
	for _, d := range st.current() {
		live, err := t.files.loadIndex(d.Index)
		if err != nil {
			return nil, nil, err
		}
		maps.Copy(before, live)
		if d.Scope != scope {
			maps.Copy(after, live)
		}
	}
	maps.Copy(after, x)
	return before, after, nil
}

// differences lists the keys to place, in order, and the keys to remove.
func (t *site) differences(before, after, x index) (place, remove []string) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for key, o := range after {
		_, mine := x[key]
		if before[key].ID != o.ID || t.foreign[key] && mine {
			place = append(place, key)
		}
	}
	for key := range before {
		if _, ok := after[key]; !ok && !t.foreign[key] {
			remove = append(remove, key)
		}
	}
	slices.SortFunc(place, func(a, b string) int {
		if c := rank(a) - rank(b); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	slices.Sort(remove)
	return place, remove
}

// rank orders objects for placing: an object comes before the objects that refer
// to it.
func rank(key string) int {
	switch {
	case isPage(key) && path.Dir(key) == ".":
		return 3 // the site's index document last
	case isPage(key):
		return 2
	case isDocument(key):
		return 1
	}
	return 0
}

func (s *Sites) place(ctx context.Context, t *site, keys []string, objects index) error {
	for i := 0; i < len(keys); {
		j := i
		group, gctx := errgroup.WithContext(ctx)
		group.SetLimit(workers)
		for ; j < len(keys) && rank(keys[j]) == rank(keys[i]); j++ {
			key, o := keys[j], objects[keys[j]]
			group.Go(func() error { return s.placeOne(gctx, t, key, o) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
		s.crash("placing")
		i = j
	}
	return nil
}

func (s *Sites) placeOne(ctx context.Context, t *site, key string, o object) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := s.config.Objects.Place(ctx, t.name, key, t.files.object(o.ID), attributes(o)); err != nil {
		return problem.Wrap(err, problem.Internal, "sites.place", "placing %s", key)
	}
	return nil
}

// finish removes from the bucket the objects that are no longer live, and from
// the region those that are no longer kept.
func (s *Sites) finish(t *site, remove []string, dropped []deployment) {
	ctx := context.Background()
	var errs []error
	for _, key := range remove {
		errs = append(errs, s.config.Objects.Remove(ctx, t.name, key))
	}
	s.crash("removed")
	if err := errors.Join(errs...); err != nil {
		s.config.Log.Error("objects stay in the bucket until the next start", "site", t.name, "error", err)
	} else if st := t.now(); st.Moving != "" {
		settled := st.clone()
		settled.Moving = ""
		if err := t.record(settled); err != nil {
			s.config.Log.Error("recording that the bucket is in step", "site", t.name, "error", err)
		}
	}
	if err := s.forget(t, dropped); err != nil {
		s.config.Log.Error("removing objects that are no longer kept", "site", t.name, "error", err)
	}
}

// forget removes the indexes and objects that only dropped deployments use.
func (s *Sites) forget(t *site, dropped []deployment) error {
	if len(dropped) == 0 {
		return nil
	}
	have, err := s.kept(t)
	if err != nil {
		return err
	}
	needed := t.now().indexes()
	var errs []error
	for _, d := range dropped {
		if needed[d.Index] {
			continue
		}
		needed[d.Index] = true
		x, err := t.files.loadIndex(d.Index)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		errs = append(errs, err)
		for _, o := range x {
			if _, ok := have[o.ID]; !ok {
				if err := os.Remove(t.files.object(o.ID)); !errors.Is(err, fs.ErrNotExist) {
					errs = append(errs, err)
				}
			}
		}
		errs = append(errs, os.Remove(t.files.index(d.Index)))
	}
	return errors.Join(errs...)
}

// repair makes the bucket match the live deployments, after a crash half way. The
// caller holds the site's lock.
func (s *Sites) repair(ctx context.Context, t *site) error {
	st := t.now()
	live, _, err := s.merged(t, st, "\x00none", nil)
	if err != nil {
		return err
	}
	var place, remove []string
	for key, o := range live {
		if !t.owns(key) && !s.config.Objects.Placed(t.name, key, t.files.object(o.ID)) {
			place = append(place, key)
		}
	}
	slices.SortFunc(place, func(a, b string) int { return rank(a) - rank(b) })
	if s.config.Objects.HasBucket(t.name) {
		if err := s.place(ctx, t, place, live); err != nil {
			return err
		}
		ours, err := s.everNamed(t, st)
		if err != nil {
			return err
		}
		err = s.config.Objects.Keys(t.name, func(key string) error {
			if _, is := live[key]; !is && ours[key] && !t.owns(key) {
				remove = append(remove, key)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	s.finish(t, remove, nil)
	return nil
}

// everNamed are the keys of all known deployments, and of the one that was being
// published.
func (s *Sites) everNamed(t *site, st *state) (map[string]bool, error) {
	keys := map[string]bool{}
	digests := map[string]bool{st.Moving: true}
	for _, d := range st.Deployments {
		digests[d.Index] = true
	}
	for digest := range digests {
		x, err := t.files.loadIndex(digest)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for key := range x {
			keys[key] = true
		}
	}
	return keys, nil
}

// Keys that S3 clients changed.
