package server

import (
	"os"
	"path/filepath"

	"showrunner/build"
	"showrunner/stage"
	stagebuild "showrunner/stage/build"
)

// builds makes the kinds build and run. Their builds run under supervisors of
// their own, which this program becomes when it is started as one.
func (c *controlPlane) builds() []stage.Kind {
	b := &stagebuild.Builder{
		Launcher:  build.Launcher{Command: []string{c.Exe, "build-supervisor", "--dir"}},
		Folder:    filepath.Join(c.Data, "builds"),
		Artifacts: c.artifacts,
		Store:     filepath.Join(c.Data, "artifacts"),
		Cache:     filepath.Join(c.Data, "cache"),
		Inherit:   build.CleanEnvironment(os.Environ()),
	}
	return b.Kinds()
}
