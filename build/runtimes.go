package build

import (
	"context"
	"regexp"
	"strings"

	"showrunner/build/buildspec"
)

// runtimePrograms says how to ask for the version of what runtime-versions may name.
func runtimePrograms() map[string]string {
	return map[string]string{
		"nodejs": "node --version", "golang": "go version", "python": "python3 --version || python --version", "java": "java -version 2>&1",
		"ruby": "ruby --version", "php": "php --version", "dotnet": "dotnet --version", "docker": "docker --version",
		"android": "", "rust": "rustc --version", "perl": "perl --version",
	}
}

var versionNumber = regexp.MustCompile(`\d+(\.\d+)*`)

// checkRuntimes compares runtime-versions with what is there. This runner
// installs nothing, so what differs is a warning in the log.
func (b *run) checkRuntimes(ctx context.Context, list []buildspec.Runtime) {
	on, has := "on this machine", "this machine has"
	if b.engine != nil {
		on, has = "in the image", "the image has"
	}
	for _, r := range list {
		want, err := b.shell.expand(ctx, r.Version)
		if err != nil {
			b.log.say("Warning: runtime-versions: %s: %v", r.Name, err)
			continue
		}
		ask, known := runtimePrograms()[r.Name]
		if !known || ask == "" {
			b.log.say("Warning: runtime-versions: what %s is %s is not known; the build uses what it finds", r.Name, on)
			continue
		}
		out, err := b.shell.capture(ctx, ask)
		have := versionNumber.FindString(out)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && have == "" || have == "":
			b.log.say("Warning: runtime-versions asks for %s %s, which is not %s", r.Name, want, on)
		case !satisfies(want, have):
			b.log.say("Warning: runtime-versions asks for %s %s; %s %s, and the build uses that", r.Name, want, has, have)
		default:
			b.log.say("Runtime %s %s", r.Name, have)
		}
	}
}

// satisfies compares "18", "18.x", "3.11", "corretto17", "openjdk8" or
// "latest" with a version as a program prints it.
func satisfies(want, have string) bool {
	number := versionNumber.FindString(want)
	if number == "" {
		return true // latest, or a name without a number
	}
	have = strings.TrimPrefix(have, "1.") // Java 8 calls itself 1.8
	if !strings.HasPrefix(number, "1.") || strings.HasPrefix(want, "corretto") || strings.HasPrefix(want, "openjdk") {
		return number == have || strings.HasPrefix(have, number+".")
	}
	number = strings.TrimPrefix(number, "1.")
	return number == have || strings.HasPrefix(have, number+".")
}
