package cli

import (
	"os"
	"path/filepath"
	"testing"
)

func TestDiskUse(t *testing.T) {
	data := t.TempDir()
	for name, size := range map[string]int{"artifacts/blobs/ab/x": 1_500_000, "artifacts/manifests/ab/y": 500_000, "logs/e/s.1.log": 0} {
		name = filepath.Join(data, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := diskUse(t.Context(), data)
	if len(got) != 2 || got[0].Name != "disk artifacts" || got[0].Detail != "2.0 MB in 2 files: contents and manifests" || got[1].Detail != "0.0 MB in 1 files: logs of stages" {
		t.Errorf("%+v", got)
	}
}
