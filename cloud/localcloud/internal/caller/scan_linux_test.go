package caller

import (
	"bufio"
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	t.Parallel()
	lines := bufio.NewScanner(strings.NewReader("0100007F:1F90 127.0.0.1:8080\n00000000000000000000000001000000:0050 [::1]:80\n0000000000000000FFFF00000100007F:0016 127.0.0.1:22\n"))
	for lines.Scan() {
		text, want, _ := strings.Cut(lines.Text(), " ")
		if got, ok := parseAddress(text); !ok || got.String() != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for _, wrong := range []string{"", "0100007F", "0100007F:", "zz:1", "010000:1"} {
		if got, ok := parseAddress(wrong); ok {
			t.Errorf("%q is %s", wrong, got)
		}
	}
}
