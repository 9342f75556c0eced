package artifact

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"showrunner/problem"
)

// MediaType marks the persisted form of a manifest.
const MediaType = "application/vnd.showrunner.artifact.v1+json"

// The modes an entry may have. An artifact keeps only the executable bit of a
// file: every other permission is decided where the artifact is used.
const (
	ModeFile    = 0o644
	ModeProgram = 0o755
	ModeLink    = 0o777
)

// maxLinks bounds the links followed for one path, as POSIX systems do.
const maxLinks = 40

// Entry is one file or symbolic link of an artifact.
type Entry struct {
	Path   string `json:"path"`             // slash-separated, relative, clean
	Mode   uint32 `json:"mode"`             // ModeFile, ModeProgram or ModeLink
	Size   int64  `json:"size"`             // bytes; 0 for a link
	Digest string `json:"digest,omitempty"` // of the content; empty for a link
	Link   string `json:"link,omitempty"`   // target of the link: relative, and never outside the artifact
}

// Manifest lists what an artifact holds, sorted by path. Folders exist through
// the files in them; an empty folder is not kept.
type Manifest struct {
	MediaType string  `json:"mediaType"`
	Entries   []Entry `json:"entries"`
}

// Size returns the sum of the files' sizes.
func (m Manifest) Size() int64 {
	var n int64
	for _, e := range m.Entries {
		n += e.Size
	}
	return n
}

// Find returns the entry at a path.
func (m Manifest) Find(p string) (Entry, bool) {
	i, ok := slices.BinarySearchFunc(m.Entries, p, func(e Entry, p string) int { return strings.Compare(e.Path, p) })
	if !ok {
		return Entry{}, false
	}
	return m.Entries[i], true
}

// Resolve follows links from a path to the file it stands for. It returns false
// for a folder and for a link whose target does not exist.
func (m Manifest) Resolve(p string) (Entry, bool) {
	at, inside := m.walk(p)
	if !inside {
		return Entry{}, false
	}
	e, ok := m.Find(at)
	return e, ok && e.Link == ""
}

// walk resolves p as a file system would, component by component, through every
// link in the path. It returns false when the path leaves the artifact or the
// links form a circle.
func (m Manifest) walk(p string) (string, bool) {
	at, rest, links := "", strings.Split(p, "/"), 0
	for len(rest) > 0 {
		next := rest[0]
		rest = rest[1:]
		switch next {
		case "", ".":
			continue
		case "..":
			if at == "" {
				return "", false
			}
			if at = path.Dir(at); at == "." {
				at = ""
			}
			continue
		}
		at = path.Join(at, next)
		e, ok := m.Find(at)
		if !ok || e.Link == "" {
			continue
		}
		if links++; links > maxLinks || path.IsAbs(e.Link) {
			return "", false
		}
		if at = path.Dir(at); at == "." {
			at = ""
		}
		rest = append(strings.Split(e.Link, "/"), rest...)
	}
	return at, true
}

// encode returns the canonical form and its digest: equal content, equal bytes.
func (m Manifest) encode() ([]byte, Ref, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(m); err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(buf.Bytes())
	return buf.Bytes(), Ref(digestOf(sum[:])), nil
}

func decodeManifest(data []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return Manifest{}, problem.Wrap(err, problem.Invalid, "artifact.manifest", "not a manifest")
	}
	if m.MediaType != MediaType {
		return Manifest{}, problem.New(problem.Invalid, "artifact.manifest", "unknown media type %q", m.MediaType)
	}
	return m, m.check()
}

// check verifies what every reader of a manifest relies on: paths are sorted,
// unique and clean, no path has a file where another path needs a folder, and no
// link leads outside.
func (m Manifest) check() error {
	bad := func(format string, args ...any) error {
		return problem.New(problem.Invalid, "artifact.manifest", format, args...)
	}
	if !slices.IsSortedFunc(m.Entries, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) }) {
		return bad("entries are not sorted by path")
	}
	for i, e := range m.Entries {
		if err := checkPath(e.Path); err != nil {
			return err
		}
		if i > 0 && m.Entries[i-1].Path == e.Path {
			return bad("%s occurs twice", e.Path)
		}
		for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
			if _, ok := m.Find(dir); ok {
				return bad("%s is a file or a link, and so cannot hold %s", dir, e.Path)
			}
		}
		if e.Link == "" {
			if _, err := digestHex(e.Digest); err != nil || e.Size < 0 || e.Mode != ModeFile && e.Mode != ModeProgram {
				return bad("%s: digest, size or mode is wrong", e.Path)
			}
			continue
		}
		if e.Digest != "" || e.Size != 0 || e.Mode != ModeLink || !utf8.ValidString(e.Link) || strings.ContainsRune(e.Link, 0) {
			return bad("%s: the link is not in canonical form", e.Path)
		}
		if _, inside := m.walk(e.Path); !inside {
			return bad("the link %s → %s leads out of the artifact, or round in a circle", e.Path, e.Link)
		}
	}
	return nil
}

// checkPath allows paths that are safe below any folder on every supported
// system.
func checkPath(p string) error {
	switch {
	case p == "" || p == "." || p == ".." || path.IsAbs(p) || path.Clean(p) != p || strings.HasPrefix(p, "../"):
	case !utf8.ValidString(p):
	case strings.ContainsRune(p, 0):
	default:
		return nil
	}
	return problem.New(problem.Invalid, "artifact", "%q cannot be a path in an artifact: it must be relative, clean, inside, and UTF-8", p)
}
