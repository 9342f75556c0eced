package build

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"showrunner/artifact"
	"showrunner/build/buildspec"
	"showrunner/problem"
)

// deliveryError is a failure to find or hand over a build's results.
type deliveryError struct{ error }

func (e *deliveryError) Unwrap() error { return e.error }

// upload collects the artifacts and the reports.
func (b *run) upload(ctx context.Context) error {
	b.readReports(ctx)
	a := b.spec.Artifacts
	if a == nil {
		return b.saveCache(ctx)
	}
	var first error
	if len(a.Files) > 0 {
		err := b.deliver(ctx, "", a.ArtifactSet)
		if err != nil && len(a.Secondary) > 0 && problem.CodeOf(err) == problem.NotFound {
			// With secondary artifacts the primary one is often a formality.
			b.log.say("Warning: the primary artifact: %v", err)
			err = nil
		}
		first = err
	}
	for _, s := range a.Secondary {
		if err := b.deliver(ctx, s.ID, s.ArtifactSet); err != nil && first == nil {
			first = fmt.Errorf("secondary artifact %s: %w", s.ID, err)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if first != nil {
		return &deliveryError{first}
	}
	return b.saveCache(ctx)
}

// deliver collects one artifact and hands it over.
func (b *run) deliver(ctx context.Context, id string, set buildspec.ArtifactSet) error {
	set, err := b.expandSet(ctx, set)
	if err != nil {
		return err
	}
	c := collector{root: b.src, keepLinks: set.EnableSymlinks, say: b.log.say}
	files, err := c.artifact(set)
	if err != nil {
		return err
	}
	out := Artifact{ID: id, Name: set.Name, S3Prefix: set.S3Prefix, Files: len(files)}
	for _, f := range files {
		if len(out.Paths) < maxPaths {
			out.Paths = append(out.Paths, f.Path)
		}
		if info, err := os.Stat(f.Source); err == nil && f.Link == "" {
			out.Bytes += info.Size()
		}
	}
	if b.host.Deliver != nil {
		d, err := b.host.Deliver(ctx, id, files)
		if err != nil {
			return err
		}
		out.Ref, out.Location = d.Ref, d.Location
	}
	b.result.Artifacts = append(b.result.Artifacts, out)
	b.log.say("Artifact %s: %d files, %d bytes", cmp.Or(id, "(primary)"), out.Files, out.Bytes)
	return nil
}

func (b *run) expandSet(ctx context.Context, set buildspec.ArtifactSet) (_ buildspec.ArtifactSet, err error) {
	for _, text := range []*string{&set.Name, &set.BaseDirectory, &set.S3Prefix} {
		if *text, err = b.shell.expand(ctx, *text); err != nil {
			return set, err
		}
	}
	if set.Files, err = b.expandAll(ctx, set.Files); err == nil {
		set.ExcludePaths, err = b.expandAll(ctx, set.ExcludePaths)
	}
	return set, err
}

func (b *run) expandAll(ctx context.Context, list []string) ([]string, error) {
	out := make([]string, len(list))
	for i, text := range list {
		var err error
		if out[i], err = b.shell.expand(ctx, text); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// collector finds files by the patterns of a buildspec.
type collector struct {
	root      string
	keepLinks bool
	say       func(format string, args ...any)

	found   map[string]artifact.File
	exclude []string
	flat    bool
}

// artifact lists the files of an artifact by their path in it. Errors:
// not_found when nothing matches, invalid.
func (c *collector) artifact(set buildspec.ArtifactSet) ([]artifact.File, error) {
	const op = "build.artifacts"
	c.found, c.flat = map[string]artifact.File{}, set.DiscardPaths
	for _, p := range set.ExcludePaths {
		c.exclude = append(c.exclude, path.Clean(filepath.ToSlash(p)))
	}
	bases, err := c.bases(set.BaseDirectory)
	if err != nil {
		return nil, err
	}
	for _, base := range bases {
		for _, pattern := range set.Files {
			before := len(c.found)
			if err := c.match(base, pattern); err != nil {
				return nil, err
			}
			if len(c.found) == before {
				c.say("Pattern %q adds no file below %s", pattern, c.short(base))
			}
		}
	}
	if len(c.found) == 0 {
		return nil, problem.New(problem.NotFound, op, "no file matches %s below %s", quoteAll(set.Files), c.short(bases[0])).
			WithHelp("Check artifacts.files and artifacts.base-directory against what the build leaves; `dir/**/*` takes a folder with all it holds.")
	}
	files := make([]artifact.File, 0, len(c.found))
	for _, f := range c.found {
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b artifact.File) int { return strings.Compare(a.Path, b.Path) })
	return files, nil
}

func quoteAll(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(quoted, ", ")
}

func (c *collector) short(dir string) string {
	if rel, err := filepath.Rel(c.root, dir); err == nil && filepath.IsLocal(rel) {
		return cmp.Or(strings.TrimPrefix(rel, "."), "the source folder")
	}
	return dir
}

// bases are the folders that base-directory names.
func (c *collector) bases(pattern string) ([]string, error) {
	const op = "build.artifacts"
	if pattern == "" {
		return []string{c.root}, nil
	}
	full := filepath.FromSlash(pattern)
	if !filepath.IsAbs(full) {
		full = filepath.Join(c.root, full)
	}
	candidates := []string{full}
	if _, err := os.Stat(full); err != nil && hasMeta(pattern) {
		if candidates, err = doublestar.FilepathGlob(full); err != nil {
			return nil, problem.Wrap(err, problem.Invalid, op, "base-directory %q", pattern)
		}
	}
	var dirs []string
	for _, d := range candidates {
		if info, err := os.Stat(d); err == nil && info.IsDir() {
			dirs = append(dirs, d)
		}
	}
	if len(dirs) == 0 {
		return nil, problem.New(problem.NotFound, op, "base-directory %q is no folder that the build leaves", pattern).
			WithHelp("It is relative to the source folder, whatever the commands' last cd was.")
	}
	return dirs, nil
}

func hasMeta(p string) bool { return strings.ContainsAny(p, "*?[{") }

// match adds what a pattern names.
func (c *collector) match(base, pattern string) error {
	p := path.Clean(filepath.ToSlash(pattern))
	if strings.HasSuffix(pattern, "/") { // "dist/" is the folder
		p = strings.TrimSuffix(p, "/")
	}
	if path.IsAbs(p) {
		if rel, err := filepath.Rel(base, filepath.FromSlash(p)); err == nil && filepath.IsLocal(rel) {
			p = filepath.ToSlash(rel)
		} else if prefix, _ := doublestar.SplitPattern(p); !exists(prefix) || prefix == "/" {
			p = strings.TrimPrefix(p, "/")
		} else {
			base = "/"
			p = strings.TrimPrefix(p, "/")
		}
	}
	if !doublestar.ValidatePattern(p) {
		return problem.New(problem.Invalid, "build.artifacts", "%q is no pattern", pattern)
	}
	full := filepath.Join(base, filepath.FromSlash(p))
	if info, err := os.Lstat(full); err == nil { // also names that hold * or [ themselves
		if info.Mode()&fs.ModeSymlink != 0 && !c.keepLinks {
			info, err = os.Stat(full)
		}
		if err == nil && info.IsDir() {
			return c.walk(base, p, path.Join(p, "**"))
		}
		return c.add(base, p)
	}
	prefix, _ := doublestar.SplitPattern(p)
	return c.walk(base, prefix, p)
}

func exists(p string) bool {
	_, err := os.Stat(p)
	return err == nil
}

// walk adds the files below dir (relative to base) that match pattern.
func (c *collector) walk(base, dir, pattern string) error {
	entries, err := os.ReadDir(filepath.Join(base, filepath.FromSlash(dir)))
	if err != nil {
		return nil // not there, or not ours to read: it adds nothing
	}
	deep := strings.Contains(pattern, "**")
	for _, e := range entries {
		rel := path.Join(dir, e.Name())
		if e.IsDir() {
			if e.Name() == ".git" && !strings.Contains(pattern, ".git") {
				continue
			}
			if deep || strings.Count(rel, "/") < strings.Count(pattern, "/") {
				if err := c.walk(base, rel, pattern); err != nil {
					return err
				}
			}
			continue
		}
		if ok, _ := doublestar.Match(pattern, rel); ok {
			if err := c.add(base, rel); err != nil {
				return err
			}
		}
	}
	return nil
}

// add takes one file, by its path relative to base.
func (c *collector) add(base, rel string) error {
	for _, ex := range c.exclude {
		if ok, _ := doublestar.Match(ex, rel); ok || strings.HasPrefix(rel, ex+"/") {
			return nil
		}
	}
	source := filepath.Join(base, filepath.FromSlash(rel))
	for strings.HasPrefix(rel, "../") {
		rel = rel[3:]
	}
	if c.flat {
		rel = path.Base(rel)
	}
	info, err := os.Lstat(source)
	if err != nil {
		return nil // gone since it was listed
	}
	f := artifact.File{Path: rel, Source: source}
	if info.Mode()&fs.ModeSymlink != 0 {
		if c.keepLinks && !c.flat {
			if f.Link = c.inside(base, source); f.Link != "" {
				c.found[rel] = f
				return nil
			}
		}
		if info, err = os.Stat(source); err != nil {
			c.say("Link %s points to nothing and is passed over", rel)
			return nil
		}
		if info.IsDir() {
			c.say("Link %s points to a folder and is passed over; enable-symlinks keeps it as a link", rel)
			return nil
		}
	}
	if !info.Mode().IsRegular() {
		c.say("%s is neither a file nor a link and is passed over", rel)
		return nil
	}
	if other, ok := c.found[rel]; ok && other.Source != source {
		c.say("Warning: %s and %s have the same path in the artifact, %s; the last is kept", other.Source, source, rel)
	}
	c.found[rel] = f
	return nil
}

// inside returns what a link says, made relative, when it stays below base.
func (c *collector) inside(base, link string) string {
	target, err := os.Readlink(link)
	if err != nil {
		return ""
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(link), target)
	}
	if rel, err := filepath.Rel(base, target); err != nil || !filepath.IsLocal(rel) {
		return ""
	}
	rel, err := filepath.Rel(filepath.Dir(link), target)
	if err != nil {
		return ""
	}
	return filepath.ToSlash(rel)
}
