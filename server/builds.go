package server

import (
	"os"
	"path/filepath"

	"showrunner/build"
	"showrunner/execution"
	"showrunner/problem"
	"showrunner/stage"
	stagebuild "showrunner/stage/build"
)

// builds makes the kinds build and run. Their builds run under supervisors of
// their own, which this program becomes when it is started as one.
func (c *controlPlane) builds(engine *execution.Engine) ([]stage.Kind, error) {
	places := stagebuild.NewPlaces(filepath.Join(c.Data, "places"), c.BuildsAtOnce, c.Now)
	places.Owns = engine.Owns
	c.builder = &stagebuild.Builder{
		Launcher:  build.Launcher{Command: []string{c.Exe, "build-supervisor", "--dir"}},
		Folder:    filepath.Join(c.Data, "builds"),
		Artifacts: c.artifacts,
		Store:     filepath.Join(c.Shared, "artifacts"),
		Cache:     filepath.Join(c.Shared, "cache"),
		Inherit:   build.CleanEnvironment(os.Environ()),
		Places:    places,
		Waker:     engine,
	}
	if c.Database != "" {
		id, err := folderID(c.Data)
		if err != nil {
			return nil, err
		}
		host, err := os.Hostname()
		if err != nil {
			return nil, problem.Wrap(err, problem.Internal, "control", "this machine's name")
		}
		c.builder.Fleet = &stagebuild.Fleet{Records: c.store, ID: id + "." + host, Name: host + ":" + c.Data, Patience: c.BuildsLostAfter,
			Logs: c.logs.Open, Now: c.Now, Log: c.Log}
		c.builder.Waiting = engine.WaitingTasks
	}
	return c.builder.Kinds(), nil
}
