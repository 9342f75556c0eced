package cli

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// releaseVersion, releaseCommit and releaseDate are set by the linker in a
// release (see the Makefile); other builds know them from the build information.
var releaseVersion, releaseCommit, releaseDate string

// buildVersion is what this binary was built from.
type buildVersion struct {
	Version  string `json:"version"`            // a tag, or Go's name for a commit after one; "devel" without
	Commit   string `json:"commit,omitempty"`   // empty: the build was not told
	Date     string `json:"date,omitempty"`     // of the commit
	Modified bool   `json:"modified,omitempty"` // the files differed from the commit
	Go       string `json:"go"`
	Platform string `json:"platform"` // linux/amd64
}

func versionOf(info *debug.BuildInfo) buildVersion {
	v := buildVersion{Version: releaseVersion, Commit: releaseCommit, Date: releaseDate, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info != nil {
		if m := info.Main.Version; m != "(devel)" {
			v.Version = cmp.Or(v.Version, m)
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Commit = cmp.Or(v.Commit, s.Value)
			case "vcs.time":
				v.Date = cmp.Or(v.Date, s.Value)
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	v.Version = cmp.Or(v.Version, "devel")
	return v
}

func (v buildVersion) String() string {
	var facts []string
	if v.Commit != "" {
		facts = append(facts, "commit "+v.Commit[:min(len(v.Commit), 12)])
	}
	if v.Date != "" {
		facts = append(facts, v.Date)
	}
	if v.Modified {
		facts = append(facts, "with changes that are not committed")
	}
	return fmt.Sprintf("showrunner %s (%s)", v.Version, strings.Join(append(facts, v.Go, v.Platform), ", "))
}

// Version is what this binary was built from: a release's tag, or what Go calls
// the commit.
func Version() string { return thisBuild().Version }

// thisBuild is what the running program was built from.
func thisBuild() buildVersion {
	info, _ := debug.ReadBuildInfo()
	return versionOf(info)
}

func newVersionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version, the commit and what it was built with", Args: exactArgs(),
		RunE: func(*cobra.Command, []string) error {
			v := thisBuild()
			return a.print(v, func() []string { return []string{v.Version} }, func(w io.Writer) { fmt.Fprintln(w, v) })
		},
	}
}
