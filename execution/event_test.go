package execution

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Pages and subscribers listen for names, and a name that nobody writes is a
// page that stays as it was. So the list is held against the code that writes.
func TestEventTypesAreThoseThatAreWritten(t *testing.T) {
	writes := regexp.MustCompile(`\.emit\(|\bType: "|Succeeded: "|Stopped: "`)
	name := regexp.MustCompile(`"((?:stage|execution)\.[a-z]+)"`)
	written := map[string]bool{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || file == "event.go" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if !writes.MatchString(line) {
				continue
			}
			for _, m := range name.FindAllStringSubmatch(line, -1) {
				written[m[1]] = true
				if !slices.Contains(EventTypes(), m[1]) {
					t.Errorf("%s writes %s, which EventTypes leaves out", file, m[1])
				}
			}
		}
	}
	for _, typ := range EventTypes() {
		if !written[typ] {
			t.Errorf("EventTypes promises %s, which nothing writes", typ)
		}
	}
}
