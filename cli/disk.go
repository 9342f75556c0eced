package cli

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// diskUse says what the data folder holds, one finding for each kind of files
// that is there. Files that go while it looks are not counted.
func diskUse(ctx context.Context, data string) []check {
	var list []check
	for _, kind := range []struct{ folder, holds string }{
		{"artifacts", "contents and manifests"}, {"builds", "folders of builds"}, {"cache", "entries of build caches"},
		{"logs", "logs of stages"}, {"git", "mirrors of repositories"}, {"archive", "events"}, {"regions", "sites and instances"},
	} {
		dir := filepath.Join(data, kind.folder)
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			continue
		}
		files, bytes := 0, int64(0)
		_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if ctx.Err() != nil {
				return fs.SkipAll
			}
			if err != nil || !d.Type().IsRegular() {
				return nil // it went, or is another's
			}
			if info, err := d.Info(); err == nil {
				files, bytes = files+1, bytes+info.Size()
			}
			return nil
		})
		list = append(list, check{"disk " + kind.folder, "ok", fmt.Sprintf("%.1f MB in %d files: %s", float64(bytes)/1e6, files, kind.holds), ""})
	}
	return list
}
