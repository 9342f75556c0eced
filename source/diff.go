package source

import (
	"bytes"
	"context"
	"strconv"
	"strings"

	"showrunner/problem"
)

// Bounds of what is read of a difference.
const (
	mostFiles      = 300
	mostPatch      = 256 << 10 // bytes of all patches
	mostPatchLines = 400       // of one file
	mostNumbers    = 4 << 20   // bytes of the list of files
)

// FileChange is a file that differs between two commits.
type FileChange struct {
	Path string
	From string // its path in the first commit, where that is another one
	// Added and Removed count lines; both are 0 of a binary file.
	Added, Removed int
	Binary         bool
	Patch          string // the changed lines with those around them, from the first "@@" on
	Cut            bool   // the patch is longer than what is here, or was left out
}

// changes are the files that differ between two commits that the mirror has: the first
// of them, and how many there are besides.
func (m *mirror) changes(ctx context.Context, from, to string) (files []FileChange, more int, err error) {
	diff := []string{"diff", "--no-color", "--no-ext-diff", "--no-textconv", "--find-renames", "--submodule=short"}
	numbers, err := m.local(ctx, command{dir: m.dir, most: mostNumbers, args: append(diff, "--numstat", "-z", from, to, "--")})
	if err != nil {
		return nil, 0, err
	}
	if files, err = parseNumbers(numbers); err != nil {
		return nil, 0, err
	}
	if len(files) > mostFiles {
		files, more = files[:mostFiles], len(files)-mostFiles
	}
	patch, err := m.local(ctx, command{dir: m.dir, most: mostPatch, args: append(diff, "--patch", from, to, "--")})
	if err != nil {
		return nil, 0, err
	}
	addPatches(files, patch)
	return files, more, nil
}

// parseNumbers reads git's list "added TAB removed TAB path NUL", or, of a file that has
// moved, "added TAB removed TAB NUL from NUL path NUL". A last entry that was cut off is
// left out.
func parseNumbers(out string) (files []FileChange, err error) {
	for out != "" {
		head, rest, whole := strings.Cut(out, "\x00")
		if !whole {
			break
		}
		parts := strings.SplitN(head, "\t", 3)
		if len(parts) != 3 {
			return nil, problem.New(problem.Internal, "source.diff", "git lists a change as %q", head)
		}
		c := FileChange{Path: parts[2], Binary: parts[0] == "-"}
		if c.Path == "" {
			var moved bool
			if c.From, rest, moved = strings.Cut(rest, "\x00"); moved {
				c.Path, rest, moved = strings.Cut(rest, "\x00")
			}
			if !moved {
				break
			}
		}
		if !c.Binary {
			added, err1 := strconv.Atoi(parts[0])
			removed, err2 := strconv.Atoi(parts[1])
			if err1 != nil || err2 != nil {
				return nil, problem.New(problem.Internal, "source.diff", "git lists a change as %q", head)
			}
			c.Added, c.Removed = added, removed
		}
		c.Path, c.From = strings.ToValidUTF8(c.Path, "�"), strings.ToValidUTF8(c.From, "�")
		files, out = append(files, c), rest
	}
	return files, nil
}

// addPatches gives each file its part of a patch; they are in the same order. Only the
// heading of a file begins with "diff --git": lines of content have a sign before them.
func addPatches(files []FileChange, patch string) {
	at, lines, inside := -1, 0, false
	for line := range strings.Lines(strings.ToValidUTF8(patch, "�")) {
		switch {
		case strings.HasPrefix(line, "diff --git "):
			at, lines, inside = at+1, 0, false
		case strings.HasPrefix(line, "@@"):
			inside = true
		}
		if at < 0 || at >= len(files) || !inside {
			continue
		}
		if lines++; lines > mostPatchLines {
			files[at].Cut = true
			continue
		}
		files[at].Patch += line
	}
	for i := range files {
		whole := i < at || len(patch) < mostPatch
		if f := &files[i]; !whole && f.Added+f.Removed > 0 {
			f.Cut = true
		}
	}
}

// bounded keeps the first bytes that are written to it, and takes the others.
type bounded struct {
	bytes.Buffer
	most int // 0: everything is kept
}

func (b *bounded) Write(p []byte) (int, error) {
	if keep := p; b.most > 0 {
		keep = p[:min(len(p), max(0, b.most-b.Len()))]
		_, _ = b.Buffer.Write(keep) // it never fails
		return len(p), nil
	}
	return b.Buffer.Write(p)
}
