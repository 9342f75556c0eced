package cli

import (
	"runtime/debug"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	t.Parallel()
	settings := func(modified string) []debug.BuildSetting {
		return []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef0123"}, {Key: "vcs.time", Value: "2026-11-30T10:00:00Z"}, {Key: "vcs.modified", Value: modified}}
	}
	for want, info := range map[string]*debug.BuildInfo{
		"showrunner v1.2.3 (commit 0123456789ab, 2026-11-30T10:00:00Z, go":                                     {Main: debug.Module{Version: "v1.2.3"}, Settings: settings("false")},
		"showrunner devel (commit 0123456789ab, 2026-11-30T10:00:00Z, with changes that are not committed, go": {Main: debug.Module{Version: "(devel)"}, Settings: settings("true")},
		"showrunner devel (go": nil,
	} {
		if got := versionOf(info).String(); !strings.HasPrefix(got, want) {
			t.Errorf("%q does not begin with %q", got, want)
		}
	}
}
