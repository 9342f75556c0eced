package execution

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestLimitsAreDocumented: docs/limits.md says the limits that the engine has.
func TestLimitsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	l := Limits{}.withDefaults()
	for row, value := range map[string]int{
		"live executions (not ended":        l.Live,
		"of these, executions of one":       l.Share,
		"live executions of one pipeline":   l.Queued,
		"calls of tasks under way at once":  l.Tasks,
		"transitions that wait for the dat": startsRefusedFrom(l),
	} {
		found := false
		for _, line := range strings.Split(string(text), "\n") {
			if strings.HasPrefix(line, "| "+row) {
				found = strings.Contains(line, " | "+thousands(value)+" | ")
			}
		}
		if !found {
			t.Errorf("%q is not documented as %s", row, thousands(value))
		}
	}
}

func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
