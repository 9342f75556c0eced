package artifact

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"showrunner/internal/checksum/checksumtest"
	"showrunner/problem"
)

func open(t testing.TB) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "artifacts"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tree writes files (path → content; "@x" content is a link to x, "+x" a program).
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case strings.HasPrefix(content, "@"):
			err = os.Symlink(content[1:], p)
		case strings.HasPrefix(content, "+"):
			err = os.WriteFile(p, []byte(content[1:]), 0o755)
		default:
			err = os.WriteFile(p, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// read is the inverse of tree.
func read(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, p)
		if d.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(p)
			files[name] = "@" + target
			return err
		}
		data, err := os.ReadFile(p)
		info, _ := d.Info()
		files[name] = string(data)
		if info.Mode()&0o100 != 0 {
			files[name] = "+" + files[name]
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func same(t testing.TB, got, want map[string]string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("got %v\nwant %v", got, want)
	}
}

func count(t testing.TB, s *Store, kind string) int {
	t.Helper()
	n := 0
	if err := s.each(context.Background(), kind, func(string, fs.FileInfo) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

func age(t testing.TB, s *Store) {
	t.Helper()
	old := time.Now().Add(-48 * time.Hour)
	err := filepath.WalkDir(s.dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			err = os.Chtimes(p, old, old)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTreesComeBackAsTheyWere(t *testing.T) {
	ctx, s := context.Background(), open(t)
	files := map[string]string{
		"index.html": "<html>", "bin/run": "+#!/bin/sh\n", "a/b/c.txt": "", "link": "@a/b/c.txt", "a/up": "@../index.html",
		"ünïcode ☃": "snow", "a/dir": "@b", "big": strings.Repeat("0123456789", bufferSize/5),
	}
	ref, m, err := s.PutDir(ctx, tree(t, files), nil)
	if err != nil {
		t.Fatal(err)
	}
	if e, ok := m.Resolve("a/dir/c.txt"); !ok || e.Path != "a/b/c.txt" {
		t.Errorf("a/dir/c.txt resolves to %v, %v", e, ok)
	}
	out := filepath.Join(t.TempDir(), "out")
	if err := s.Extract(ctx, ref, out); err != nil {
		t.Fatal(err)
	}
	same(t, read(t, out), files)
	if err := s.Extract(ctx, ref, out); err != nil {
		t.Fatalf("over itself: %v", err)
	}
	same(t, read(t, out), files)
	again, _, err := s.PutDir(ctx, out, nil)
	if err != nil || again != ref {
		t.Errorf("equal content: %s, %v; want %s", again, err, ref)
	}
}

func TestEqualContentIsStoredOnce(t *testing.T) {
	ctx, s := context.Background(), open(t)
	dir := tree(t, map[string]string{"a": "same", "b": "same", "c/d": "same", "e": "other"})
	if _, _, err := s.PutDir(ctx, dir, nil); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s, "blobs"); n != 2 {
		t.Errorf("%d blobs, want 2", n)
	}
	left, _ := os.ReadDir(filepath.Join(s.dir, "tmp"))
	if len(left) != 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

func TestChosenPathsAndExplicitFiles(t *testing.T) {
	ctx, s := context.Background(), open(t)
	dir := tree(t, map[string]string{"a/x": "1", "a/y": "2", "b": "3", "c": "4"})
	_, m, err := s.PutDir(ctx, dir, []string{"a", "c"})
	if err != nil || len(m.Entries) != 3 {
		t.Fatalf("%v, %v", m.Entries, err)
	}
	_, m, err = s.Put(ctx, []File{{Path: "z/q", Source: filepath.Join(dir, "b")}, {Path: "l", Link: "z/q"}})
	if err != nil || len(m.Entries) != 2 || m.Entries[0].Link != "z/q" || m.Entries[1].Size != 1 {
		t.Fatalf("%v, %v", m.Entries, err)
	}
	_, _, err = s.Put(ctx, []File{{Path: "q", Source: filepath.Join(dir, "b")}, {Path: "q", Source: filepath.Join(dir, "c")}})
	if problem.CodeOf(err) != problem.Invalid {
		t.Errorf("one path twice: %v", err)
	}
	_, _, err = s.PutDir(ctx, dir, []string{"nope"})
	if problem.CodeOf(err) != problem.NotFound {
		t.Errorf("a path that is not there: %v", err)
	}
	_, _, err = s.PutDir(ctx, dir, []string{"../x"})
	if problem.CodeOf(err) != problem.Invalid {
		t.Errorf("a path outside: %v", err)
	}
}

func TestLinksThatLeadOutAreRefused(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"absolute":       {"l": "@/etc/passwd"},
		"parent":         {"a/l": "@../../x"},
		"circle":         {"a": "@b", "b": "@a"},
		"through a link": {"sub/deep/l": "@../..", "y": "@sub/deep/l/../etc"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := open(t).PutDir(context.Background(), tree(t, files), nil)
			if problem.CodeOf(err) != problem.Invalid || !strings.Contains(err.Error(), "leads out") {
				t.Errorf("%v", err)
			}
		})
	}
}

// A target folder that an attacker has prepared must not make Extract write
// outside it.
func TestExtractStaysInside(t *testing.T) {
	ctx, s := context.Background(), open(t)
	ref, _, err := s.PutDir(ctx, tree(t, map[string]string{"d/f": "new"}), nil)
	if err != nil {
		t.Fatal(err)
	}
	outside := tree(t, map[string]string{"f": "old"})
	into := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(into, "d")); err != nil {
		t.Fatal(err)
	}
	if err := s.Extract(ctx, ref, into); err == nil {
		t.Error("extracted through a link that leads out")
	}
	same(t, read(t, outside), map[string]string{"f": "old"})
}

func TestDamageIsNoticed(t *testing.T) {
	ctx, s := context.Background(), open(t)
	ref, m, err := s.PutDir(ctx, tree(t, map[string]string{"f": strings.Repeat("x", 100_000)}), nil)
	if err != nil {
		t.Fatal(err)
	}
	hex, _ := digestHex(m.Entries[0].Digest)
	blob := s.path("blobs", hex)
	data, _ := os.ReadFile(blob)
	for name, spoilt := range map[string][]byte{
		"bit": append(bytes.Clone(data[:99_999]), 'y'), "cut": data[:50_000], "empty": nil, "longer": append(bytes.Clone(data), 'x'),
	} {
		os.Remove(blob)
		if err := os.WriteFile(blob, spoilt, 0o600); err != nil {
			t.Fatal(err)
		}
		out := t.TempDir()
		err := s.Extract(ctx, ref, out)
		if problem.CodeOf(err) != problem.Internal || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s: %v", name, err)
		}
		same(t, read(t, out), map[string]string{})
	}
	manifest := s.path("manifests", ref.Hex())
	if err := os.WriteFile(manifest, []byte(`{"mediaType":"`+MediaType+`","entries":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Manifest(ctx, ref); problem.CodeOf(err) != problem.Internal {
		t.Errorf("manifest: %v", err)
	}
}

// Content of the wrong size, as disk damage leaves it, is stored again.
func TestPutRepairsTruncatedContent(t *testing.T) {
	ctx, s := context.Background(), open(t)
	dir := tree(t, map[string]string{"f": "content"})
	ref, m, _ := s.PutDir(ctx, dir, nil)
	hex, _ := digestHex(m.Entries[0].Digest)
	os.Remove(s.path("blobs", hex))
	os.WriteFile(s.path("blobs", hex), nil, 0o600)
	if _, _, err := s.PutDir(ctx, dir, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Extract(ctx, ref, t.TempDir()); err != nil {
		t.Error(err)
	}
}

func TestArchives(t *testing.T) {
	ctx, s := context.Background(), open(t)
	files := map[string]string{"a/b": "content", "run": "+x", "l": "@a/b"}
	ref, _, err := s.PutDir(ctx, tree(t, files), nil)
	if err != nil {
		t.Fatal(err)
	}
	var buf, second bytes.Buffer
	if err := s.WriteArchive(ctx, ref, Zip, &buf); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteArchive(ctx, ref, Zip, &second); err != nil || !bytes.Equal(buf.Bytes(), second.Bytes()) {
		t.Errorf("two archives of one artifact differ (%v)", err)
	}
	zr, err := zip.NewReader(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range zr.File {
		r, _ := f.Open()
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got[f.Name] = mark(f.Mode()) + string(data)
	}
	same(t, got, files)

	buf.Reset()
	if err := s.WriteArchive(ctx, ref, TarGz, &buf); err != nil {
		t.Fatal(err)
	}
	gz, err := gzip.NewReader(&buf)
	if err != nil {
		t.Fatal(err)
	}
	got = map[string]string{}
	for tr := tar.NewReader(gz); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, _ := io.ReadAll(tr)
		got[h.Name] = mark(h.FileInfo().Mode()) + h.Linkname + string(data)
	}
	same(t, got, files)
}

func mark(m fs.FileMode) string {
	switch {
	case m&fs.ModeSymlink != 0:
		return "@"
	case m&0o100 != 0:
		return "+"
	}
	return ""
}

func TestCollection(t *testing.T) {
	ctx, s := context.Background(), open(t)
	kept, _, _ := s.PutDir(ctx, tree(t, map[string]string{"a": "kept", "b": "both"}), nil)
	gone, _, _ := s.PutDir(ctx, tree(t, map[string]string{"a": "gone", "b": "both"}), nil)
	if err := s.Attest(ctx, gone, NewStatement("gone", gone, Provenance{})); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(s.dir, "tmp", "blob-crashed"), nil, 0o600)
	keep := func(r Ref) bool { return r == kept }
	if done, err := s.GC(ctx, keep, time.Hour); err != nil || done != (Collected{}) {
		t.Fatalf("collected young files: %v, %v", done, err)
	}
	age(t, s)
	young, _, err := s.PutDir(ctx, tree(t, map[string]string{"c": "gone"}), nil) // it needs a blob of the artifact that is collected
	if err != nil {
		t.Fatal(err)
	}
	done, err := s.GC(ctx, keep, time.Hour)
	if err != nil || done.Artifacts != 1 || done.Blobs != 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	for _, ref := range []Ref{kept, young} {
		if err := s.Extract(ctx, ref, t.TempDir()); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Manifest(ctx, gone); problem.CodeOf(err) != problem.NotFound {
		t.Errorf("the collected artifact: %v", err)
	}
	if all, _ := s.Attestations(ctx, gone); len(all) != 0 {
		t.Errorf("its statements are still there")
	}
	age(t, s)
	done, err = s.GC(ctx, func(Ref) bool { return false }, time.Hour)
	if err != nil || count(t, s, "blobs") != 0 || done.Blobs != 3 {
		t.Errorf("%+v, %v, %d blobs left", done, err, count(t, s, "blobs"))
	}
	if left, _ := os.ReadDir(filepath.Join(s.dir, "tmp")); len(left) != 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

// Writers that store files again while a collection deletes them always end with
// a complete artifact.
func TestWritersBesideCollections(t *testing.T) {
	ctx, s := context.Background(), open(t)
	dir := tree(t, map[string]string{"a": "1", "b": "2", "c": "3", "d": "4"})
	stop := make(chan struct{})
	var collector sync.WaitGroup
	collector.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			old := time.Now().Add(-2 * time.Hour)
			s.each(ctx, "manifests", func(hex string, _ fs.FileInfo) error { return os.Chtimes(s.path("manifests", hex), old, old) })
			s.each(ctx, "blobs", func(hex string, _ fs.FileInfo) error { os.Chtimes(s.path("blobs", hex), old, old); return nil })
			s.GC(ctx, func(Ref) bool { return false }, time.Hour)
		}
	})
	for range 30 {
		if _, _, err := s.PutDir(ctx, dir, nil); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	collector.Wait()
	ref, _, err := s.PutDir(ctx, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Extract(ctx, ref, t.TempDir()); err != nil {
		t.Error(err)
	}
}

func TestAttestations(t *testing.T) {
	ctx, s := context.Background(), open(t)
	ref, _, _ := s.PutDir(ctx, tree(t, map[string]string{"a": "1"}), nil)
	if _, err := s.Attestation(ctx, ref); problem.CodeOf(err) != problem.NotFound {
		t.Errorf("none yet: %v", err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range 3 {
		var p Provenance
		p.RunDetails.Metadata = Metadata{InvocationID: fmt.Sprint(i), FinishedOn: at.Add(time.Duration(i) * time.Minute)}
		for range 2 { // the same statement twice is kept once
			if err := s.Attest(ctx, ref, NewStatement("a", ref, p)); err != nil {
				t.Fatal(err)
			}
		}
	}
	statements, err := os.ReadDir(s.path("statements", ref.Hex()))
	if err != nil {
		t.Fatal(err)
	}
	checksumtest.Flip(t, filepath.Join(s.path("statements", ref.Hex()), statements[0].Name()), func() error { _, err := s.Attestations(ctx, ref); return err })
	checksumtest.Flip(t, s.path("manifests", ref.Hex()), func() error { _, err := s.Manifest(ctx, ref); return err })
	all, err := s.Attestations(ctx, ref)
	last, _ := s.Attestation(ctx, ref)
	if err != nil || len(all) != 3 || last.Predicate.RunDetails.Metadata.InvocationID != "2" {
		t.Errorf("%v, %v, %v", all, last, err)
	}
	if err := s.Attest(ctx, ref, NewStatement("b", "sha256:"+Ref(strings.Repeat("0", 64)), Provenance{})); problem.CodeOf(err) != problem.Invalid {
		t.Errorf("a statement on another artifact: %v", err)
	}
}

func TestAnyTreeComesBack(t *testing.T) {
	ctx, s := context.Background(), open(t)
	rapid.Check(t, func(rt *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-c]{1,2}(/[a-c]{1,2}){0,2}`), 0, 8, rapid.ID).Draw(rt, "names")
		files := map[string]string{}
	next:
		for _, name := range names {
			for other := range files {
				if strings.HasPrefix(other, name+"/") || strings.HasPrefix(name, other+"/") {
					continue next
				}
			}
			files[name] = rapid.StringMatching(`[xy]{0,3}`).Draw(rt, "content")
		}
		ref, _, err := s.PutDir(ctx, tree(t, files), nil)
		if err != nil {
			rt.Fatal(err)
		}
		out := t.TempDir()
		if err := s.Extract(ctx, ref, out); err != nil {
			rt.Fatal(err)
		}
		if got := read(t, out); fmt.Sprint(got) != fmt.Sprint(files) {
			rt.Fatalf("got %v, want %v", got, files)
		}
	})
}

// For every manifest that is accepted, each link stays inside the artifact.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"mediaType":"` + MediaType + `","entries":[{"path":"a","mode":511,"size":0,"link":"b/../../c"}]}`))
	f.Add([]byte(`{"mediaType":"` + MediaType + `","entries":[{"path":"../a","mode":420,"size":0}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decodeManifest(data)
		if err != nil {
			return
		}
		for _, e := range m.Entries {
			if filepath.IsAbs(e.Path) || !filepath.IsLocal(e.Path) {
				t.Errorf("accepted %q", e.Path)
			}
			if _, inside := m.walk(e.Path); !inside {
				t.Errorf("accepted the link %q → %q", e.Path, e.Link)
			}
		}
	})
}

func BenchmarkPut2000SmallFiles(b *testing.B) {
	ctx := context.Background()
	files := map[string]string{}
	for i := range 2000 {
		files[fmt.Sprintf("d%d/f%d", i%40, i)] = strings.Repeat(fmt.Sprint(i), 500)
	}
	dir := tree(b, files)
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := open(b).PutDir(ctx, dir, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("unchanged", func(b *testing.B) {
		s := open(b)
		s.PutDir(ctx, dir, nil)
		for b.Loop() {
			if _, _, err := s.PutDir(ctx, dir, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}
