package sites

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"showrunner/artifact"
	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/objectstore"
	"showrunner/problem"
)

// Grace is how long page assets without a hash in their name are served after
// their deployment was replaced: as long as a page may take to load its assets.
const Grace = 10 * time.Minute

// Objects is the part of the object storage that sites need.
type Objects interface {
	EnsureWebsite(ctx context.Context, bucket, index, errorDocument string) error
	HasBucket(name string) bool
	Website(ctx context.Context, bucket string) (objectstore.Website, error)
	Stage(f *os.File, a objectstore.Attributes) error
	Place(ctx context.Context, bucket, key, file string, a objectstore.Attributes) error
	Placed(bucket, key, file string) bool
	Remove(ctx context.Context, bucket, key string) error
	OpenObject(bucket, key string) (*objectstore.Object, error)
	Keys(bucket string, visit func(key string) error) error
}

// Artifacts provides the content of deployments.
type Artifacts interface {
	Manifest(ctx context.Context, ref artifact.Ref) (artifact.Manifest, error)
	OpenBlob(ctx context.Context, digest string) (io.ReadCloser, error)
	WriteArchive(ctx context.Context, ref artifact.Ref, format artifact.Format, w io.Writer) error
}

// Config is the configuration of Sites.
type Config struct {
	Region    string
	Dir       string // absolute, on the file system of the buckets
	Objects   Objects
	Artifacts Artifacts
	Watcher   *Watcher // the watcher given to the object storage
	Log       *slog.Logger
	Now       func() time.Time
}

// Sites are the websites of one region. They answer visitors (ServeHTTP) and
// carry out deployments.
type Sites struct {
	config Config
	// crash is called between the durable steps of a change; tests simulate a
	// crash there.
	crash func(step string)

	mu    sync.RWMutex
	sites map[string]*site
	plain map[string]plainSite // buckets that are websites without deployments

	background sync.WaitGroup
	stop       context.CancelFunc
}

// site is one site that has deployments.
type site struct {
	name  string
	files files
	lock  chan struct{} // holds one token: its holder may change the site

	mu      sync.RWMutex
	state   *state          // replaced as a whole, never changed in place
	view    *view           // the content for visitors
	foreign map[string]bool // keys answered from the bucket
	// touched collects keys that S3 clients change while a deployment changes the
	// bucket; nil otherwise.
	touched map[string]bool
}

// Open reads the saved state, and repairs in the background what a crash left
// incomplete.
func Open(config Config) (*Sites, error) {
	ctx, stop := context.WithCancel(context.Background())
	s := &Sites{config: config, crash: func(string) {}, sites: map[string]*site{}, plain: map[string]plainSite{}, stop: stop}
	if err := s.load(ctx); err != nil {
		stop()
		return nil, problem.Wrap(err, "", "sites.open", "reading the sites of %s", config.Region)
	}
	if config.Watcher != nil {
		config.Watcher.attach(s)
	}
	return s, nil
}

func (s *Sites) load(ctx context.Context) error {
	if err := os.MkdirAll(s.config.Dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(s.config.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() || driver.CheckSiteName(e.Name()) != nil {
			continue
		}
		t, err := s.loadSite(e.Name())
		if err != nil {
			return err
		}
		s.sites[t.name] = t
		if t.state.Moving != "" {
			<-t.lock // the site cannot be changed before it is repaired
			s.background.Go(func() {
				defer func() { t.lock <- struct{}{} }()
				if err := s.repair(ctx, t); err != nil {
					s.config.Log.Error("the bucket is not in step with its site", "site", t.name, "error", err)
				}
			})
		}
	}
	return nil
}

func (s *Sites) loadSite(name string) (*site, error) {
	t := &site{name: name, files: files{filepath.Join(s.config.Dir, name), &lastIndex{}}, lock: make(chan struct{}, 1), view: &view{}}
	t.lock <- struct{}{}
	if err := t.files.make(); err != nil {
		return nil, err
	}
	if err := clearFolder(t.files.tmp()); err != nil {
		return nil, err
	}
	var err error
	if t.state, err = t.files.loadState(); err != nil {
		return nil, err
	}
	if t.foreign, err = t.files.loadForeign(); err != nil {
		return nil, err
	}
	t.view, err = s.look(t, t.state)
	return t, err
}

func clearFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// Close waits for background work.
func (s *Sites) Close() {
	s.stop()
	s.background.Wait()
}

// site finds a site that has deployments; with create, it makes the site.
func (s *Sites) site(name string, create bool) (*site, error) {
	s.mu.RLock()
	t := s.sites[name]
	s.mu.RUnlock()
	if t != nil || !create {
		if t == nil {
			return nil, problem.New(problem.NotFound, "sites", "site %s has no deployments in %s", name, s.config.Region)
		}
		return t, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.sites[name]; t != nil {
		return t, nil
	}
	t, err := s.loadSite(name)
	if err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, "sites", "making the folder of site %s", name)
	}
	s.sites[name] = t
	return t, nil
}

// take waits for the lock of the site.
func (t *site) take(ctx context.Context) (release func(), err error) {
	select {
	case <-t.lock:
		return func() { t.lock <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, problem.Wrap(context.Cause(ctx), problem.Unavailable, "sites", "waiting for another deployment of %s to end", t.name)
	}
}

// now returns the present state, which must not be changed in place.
func (t *site) now() *state {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.state
}

// change saves a new state and then shows it to visitors. The keys of placed
// belong to the deployment from now on.
func (s *Sites) change(t *site, next *state, placed index) error {
	v, err := s.look(t, next)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.files.saveState(next); err != nil {
		return err
	}
	t.state, t.view = next, v
	if foreign := t.remainingForeign(placed); len(foreign) != len(t.foreign) {
		// A crash before the save changes nothing: the bucket holds the placed
		// objects.
		t.foreign = foreign
		return t.saveForeign()
	}
	return nil
}

// record saves a state that looks the same to visitors.
func (t *site) record(next *state) error {
	if err := t.files.saveState(next); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state = next
	return nil
}

// clone copies a state before a change.
func (s *state) clone() *state {
	c := *s
	c.Deployments, c.Activations, c.Done = slices.Clone(s.Deployments), slices.Clone(s.Activations), slices.Clone(s.Done)
	c.Prepared = slices.Clone(s.Prepared)
	return &c
}

// Deployments lists a site's deployments, newest first. Errors: not_found.
func (s *Sites) Deployments(name string) ([]driver.SiteDeployment, error) {
	t, err := s.site(name, false)
	if err != nil {
		return nil, err
	}
	st := t.now()
	live := map[string]bool{}
	previous := map[string]string{}
	for _, d := range st.current() {
		live[d.ID] = true
		if p := st.rollbackTarget(d.Scope); p != nil {
			previous[d.ID] = p.ID
		}
	}
	list := make([]driver.SiteDeployment, 0, len(st.Deployments))
	listed := map[string]int{}
	for i := len(st.Deployments) - 1; i >= 0; i-- {
		d := st.Deployments[i]
		if listed[d.Scope]++; listed[d.Scope] > d.Keep && !live[d.ID] {
			continue // kept only for visitors with an old page
		}
		d.Current, d.Previous = live[d.ID], previous[d.ID]
		list = append(list, d.SiteDeployment)
	}
	return list, nil
}

// List lists the sites that have deployments, by name.
func (s *Sites) List() []driver.Site {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []driver.Site
	for _, t := range s.sites {
		t.mu.RLock()
		site := driver.Site{Name: t.name, Region: s.config.Region, Objects: len(t.view.entries)}
		for _, d := range t.state.current() {
			d.Current = true
			site.Current = append(site.Current, d.SiteDeployment)
		}
		t.mu.RUnlock()
		if len(site.Current) > 0 {
			list = append(list, site)
		}
	}
	slices.SortFunc(list, func(a, b driver.Site) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Has says whether a site of that name exists for visitors.
func (s *Sites) Has(name string) bool {
	if t, err := s.site(name, false); err == nil && len(t.now().Activations) > 0 {
		return true
	}
	_, ok := s.plainSite(context.Background(), name)
	return ok
}
