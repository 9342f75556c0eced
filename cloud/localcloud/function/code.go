package function

import (
	"context"
	"os"
	"path/filepath"
	"sync"

	"showrunner/artifact"
)

// code keeps the region's own copies of the code of functions, one of each artifact,
// for as long as an environment uses them.
type code struct {
	dir       string
	artifacts Artifacts

	mu    sync.Mutex
	roots map[artifact.Ref]*root
}

// root is one copy.
type root struct {
	mu    sync.Mutex // held while it is unpacked or removed
	users int        // guarded by code.mu
}

func (c *code) path(ref artifact.Ref) string { return filepath.Join(c.dir, "code", ref.Hex()) }

// use returns the folder of an artifact, which stays until drop.
func (c *code) use(ctx context.Context, ref artifact.Ref) (string, error) {
	c.mu.Lock()
	r := c.roots[ref]
	if r == nil {
		r = &root{}
		c.roots[ref] = r
	}
	r.users++
	c.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	path := c.path(ref)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	part := filepath.Join(c.dir, "code.part", ref.Hex())
	err := os.RemoveAll(part)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(part), 0o700)
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = c.artifacts.Extract(ctx, ref, part)
	}
	if err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		c.drop(ref)
		return "", err
	}
	return path, nil
}

// drop ends a use.
func (c *code) drop(ref artifact.Ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.roots[ref]; r != nil {
		r.users--
	}
}

// tidy removes the copies that nobody uses.
func (c *code) tidy() error {
	entries, err := os.ReadDir(filepath.Join(c.dir, "code"))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	used := map[string]bool{}
	for ref, r := range c.roots {
		if r.users > 0 {
			used[ref.Hex()] = true
		} else if r.mu.TryLock() {
			delete(c.roots, ref)
			r.mu.Unlock()
		} else {
			used[ref.Hex()] = true
		}
	}
	for _, e := range entries {
		if used[e.Name()] {
			continue
		}
		if err := os.RemoveAll(filepath.Join(c.dir, "code", e.Name())); err != nil {
			return err
		}
	}
	return nil
}
