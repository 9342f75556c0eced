package sites

import (
	"testing"

	"showrunner/internal/checksum/checksumtest"
)

// TestDamagedFilesAreRefused: a site's state and indexes are not read from
// damaged files.
func TestDamagedFilesAreRefused(t *testing.T) {
	f := files{dir: t.TempDir(), last: &lastIndex{}}
	if err := f.make(); err != nil {
		t.Fatal(err)
	}
	if err := f.saveState(&state{Version: stateVersion}); err != nil {
		t.Fatal(err)
	}
	checksumtest.Flip(t, f.state(), func() error { _, err := f.loadState(); return err })
	digest, err := f.saveIndex(index{"index.html": object{ID: "o1", Digest: "d", Size: 7, Type: "text/html"}})
	if err != nil {
		t.Fatal(err)
	}
	checksumtest.Flip(t, f.index(digest), func() error { _, err := files{dir: f.dir, last: &lastIndex{}}.loadIndex(digest); return err })
}
