package source

import (
	"strings"
	"testing"
)

// Progress, which is redrawn with carriage returns, is not kept for the error.
// ssh ends its error messages with a carriage return and a line feed; these lines
// are kept.
func TestLinesKept(t *testing.T) {
	t.Parallel()
	const wrote = "Receiving: 10%\rReceiving: 99%\rReceiving: 100%, done.\nHost key verification failed.\r\n\r\n\nfatal: no\n"
	for size := 1; size <= len(wrote); size++ {
		var shown []string
		l := &lines{each: func(line string) { shown = append(shown, line) }}
		for rest := wrote; rest != ""; {
			n := min(size, len(rest))
			l.Write([]byte(rest[:n]))
			rest = rest[n:]
		}
		l.flush()
		if got, want := string(l.kept), "Receiving: 100%, done.\nHost key verification failed.\nfatal: no\n"; got != want {
			t.Fatalf("in pieces of %d: kept %q, want %q", size, got, want)
		}
		if got := strings.Join(shown, "|"); got != "Receiving: 10%|Receiving: 99%|Receiving: 100%, done.|Host key verification failed.|fatal: no" {
			t.Fatalf("in pieces of %d: shown %q", size, got)
		}
	}
}
