package build

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"showrunner/artifact"
	"showrunner/problem"
)

// Cache keeps folders of a project from build to build: contents in a store of
// artifacts, and by key an entry that says which. An entry with a key never
// changes; the one without a key is replaced by every build.
type Cache struct {
	Dir   string // of the entries, one folder a project
	Store *artifact.Store
}

// entry is the persisted form.
type entry struct {
	Key     string       `json:"key"`
	Source  artifact.Ref `json:"source,omitempty"` // relative to the source folder
	Rest    artifact.Ref `json:"rest,omitempty"`   // relative to /
	Created time.Time    `json:"created"`
}

// Refs lists the artifacts that the cache's entries keep alive.
func (c *Cache) Refs() ([]artifact.Ref, error) {
	var refs []artifact.Ref
	err := filepath.WalkDir(c.Dir, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		e, err := readEntry(p)
		if err != nil {
			return nil // a foreign or broken file keeps nothing
		}
		for _, ref := range []artifact.Ref{e.Source, e.Rest} {
			if ref != "" {
				refs = append(refs, ref)
			}
		}
		return nil
	})
	return refs, err
}

// Prune forgets the entries that no build has used or saved since a time.
// Errors: unavailable.
func (c *Cache) Prune(before time.Time) (int, error) {
	names, err := filepath.Glob(filepath.Join(c.Dir, "*", "*.json"))
	if err != nil {
		return 0, err
	}
	removed := 0
	for _, name := range names {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.ModTime().Before(before) {
			continue
		}
		if err == nil {
			err = os.Remove(name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return removed, problem.Wrap(err, problem.Unavailable, "build.cache", "%s", name)
		}
		removed++
	}
	return removed, nil
}

func (c *Cache) folder(project string) string {
	sum := sha256.Sum256([]byte(project))
	return filepath.Join(c.Dir, hex.EncodeToString(sum[:16]))
}

func (c *Cache) file(project, key string) string {
	sum := sha256.Sum256([]byte(key))
	return filepath.Join(c.folder(project), hex.EncodeToString(sum[:])+".json")
}

func readEntry(name string) (entry, error) {
	var e entry
	data, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(data, &e)
	}
	return e, err
}

// find returns the entry with the key, else the newest whose key begins with
// one of the fallbacks, taken in their order.
func (c *Cache) find(project, key string, fallbacks []string) (entry, bool) {
	if e, err := readEntry(c.file(project, key)); err == nil {
		return e, true
	}
	names, _ := filepath.Glob(filepath.Join(c.folder(project), "*.json"))
	var all []entry
	for _, name := range names {
		if e, err := readEntry(name); err == nil {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.Key, b.Key)) })
	for _, prefix := range fallbacks {
		for _, e := range all {
			if prefix != "" && strings.HasPrefix(e.Key, prefix) {
				return e, true
			}
		}
	}
	return entry{}, false
}

// put writes an entry; one with a key that is there already stays as it is,
// unless replace says that its contents are gone.
func (c *Cache) put(project string, e entry, replace bool) error {
	name := c.file(project, e.Key)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), ".entry-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if e.Key == "" || replace {
		return os.Rename(tmp.Name(), name)
	}
	if err := os.Link(tmp.Name(), name); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// restoreCache lays the cache out. What goes wrong with a cache is said, and
// never fails a build.
func (b *run) restoreCache(ctx context.Context) error {
	c := b.spec.Cache
	if c != nil && len(c.Paths) > 0 && b.host.Cache == nil {
		b.log.say("Warning: cache: nothing is kept from build to build outside a pipeline")
		return nil
	}
	if c == nil || len(c.Paths) == 0 {
		return nil
	}
	key, err := b.shell.expand(ctx, c.Key)
	if err != nil {
		b.log.say("Warning: cache: the key %v", err)
		return nil
	}
	b.cacheKey = key
	if !c.Restore {
		return nil
	}
	fallbacks, err := b.expandAll(ctx, c.FallbackKeys)
	if err != nil {
		b.log.say("Warning: cache: fallback-keys: %v", err)
	}
	e, ok := b.host.Cache.find(b.req.Project, key, fallbacks)
	if !ok {
		b.log.say("Cache: no entry for key %q", key)
		return nil
	}
	b.cacheHit = e.Key == key && key != ""
	for _, part := range []struct {
		ref artifact.Ref
		dir string
	}{{e.Source, b.src}, {e.Rest, "/"}} {
		if part.ref == "" {
			continue
		}
		if err := b.host.Cache.Store.Extract(ctx, part.ref, part.dir); err != nil {
			b.log.say("Warning: cache: entry %q is not restored: %v", e.Key, err)
			b.cacheLost, b.cacheHit = b.cacheHit, false // this build saves it anew
			return nil
		}
	}
	// What is used stays. That the entry has gone meanwhile changes nothing here.
	now := b.host.Now()
	_ = os.Chtimes(b.host.Cache.file(b.req.Project, e.Key), now, now)
	b.log.say("Cache: restored the entry with key %q", e.Key)
	return nil
}

// saveCache keeps the cache's folders after a build that succeeded so far.
func (b *run) saveCache(ctx context.Context) error {
	c := b.spec.Cache
	if c == nil || b.host.Cache == nil || !c.Save || len(c.Paths) == 0 || b.failing {
		return nil
	}
	if b.cacheHit {
		b.log.say("Cache: the entry with key %q is there and does not change", b.cacheKey)
		return nil
	}
	if err := b.storeCache(ctx, c.Paths); err != nil {
		b.log.say("Warning: cache: not saved: %v", err)
	}
	return nil
}

func (b *run) storeCache(ctx context.Context, patterns []string) error {
	patterns, err := b.expandAll(ctx, patterns)
	if err != nil {
		return err
	}
	home, err := b.shell.capture(ctx, `command printf '%s' "${HOME-}"`)
	if err != nil {
		return err
	}
	inside := collector{root: b.src, keepLinks: true, say: b.log.say, found: map[string]artifact.File{}}
	outside := collector{root: "/", keepLinks: true, say: b.log.say, found: map[string]artifact.File{}}
	for _, p := range patterns {
		if rest, ok := strings.CutPrefix(p, "~/"); ok {
			p = filepath.Join(home, rest)
		}
		rel, err := filepath.Rel(b.src, p)
		if filepath.IsAbs(p) && (err != nil || !filepath.IsLocal(rel)) {
			err = outside.match("/", p)
		} else {
			err = inside.match(b.src, p)
		}
		if err != nil {
			return err
		}
	}
	e := entry{Key: b.cacheKey, Created: b.host.Now()}
	for _, part := range []struct {
		found map[string]artifact.File
		ref   *artifact.Ref
	}{{inside.found, &e.Source}, {outside.found, &e.Rest}} {
		if len(part.found) == 0 {
			continue
		}
		var files []artifact.File
		for _, f := range part.found {
			files = append(files, f)
		}
		if *part.ref, _, err = b.host.Cache.Store.Put(ctx, files); err != nil {
			return err
		}
	}
	if e.Source == "" && e.Rest == "" {
		b.log.say("Cache: nothing matches its paths")
		return nil
	}
	if err := b.host.Cache.put(b.req.Project, e, b.cacheLost); err != nil {
		return err
	}
	b.log.say("Cache: saved %d files with key %q", len(inside.found)+len(outside.found), e.Key)
	return nil
}
