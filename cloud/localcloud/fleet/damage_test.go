package fleet

import (
	"path/filepath"
	"testing"

	"showrunner/internal/checksum/checksumtest"
)

// TestADamagedStateIsRefused: a state with a flipped bit in a weight or a
// capacity is refused.
func TestADamagedStateIsRefused(t *testing.T) {
	dir := t.TempDir()
	f, err := openFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	doc, err := f.load()
	if err != nil {
		t.Fatal(err)
	}
	doc.Sequences["app"] = 7
	doc.Groups["app-v007"] = record{Weight: 50}
	if err := f.save(doc); err != nil {
		t.Fatal(err)
	}
	checksumtest.Flip(t, filepath.Join(dir, "state.json"), func() error { _, err := f.load(); return err })
}
