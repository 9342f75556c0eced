package edge

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"showrunner/internal/checksum/checksumtest"
)

// TestDamagedWeightsAreRefused: a weight with a flipped bit sends nobody anywhere.
func TestDamagedWeightsAreRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "weights.json")
	read := func() (*table, error) { return newTable(file, time.Now, slog.New(slog.DiscardHandler)) }
	tab, err := read()
	if err != nil {
		t.Fatal(err)
	}
	half := 0.5
	tab.regions = []*region{{Region: Region{Name: "us-west-2"}}, {Region: Region{Name: "eu-west-1"}}}
	if err := tab.setWeights(map[string]*float64{"us-west-2": &half}); err != nil {
		t.Fatal(err)
	}
	checksumtest.Flip(t, file, func() error { _, err := read(); return err })
}
