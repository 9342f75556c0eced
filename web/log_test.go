package web

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// Each line of a log has its number as its address, whatever stretch it is read in.
func TestLinesOfALogHaveAddresses(t *testing.T) {
	t.Parallel()
	var all bytes.Buffer
	for i := range 1200 {
		fmt.Fprintf(&all, "line %d\n", i+1)
	}
	whole, next := renderLog(all.Bytes(), 1)
	if next != 1201 || strings.Count(string(whole), `<div class="part">`) != 3 || strings.Count(string(whole), "</div>") != 3 {
		t.Errorf("%d parts, then line %d", strings.Count(string(whole), `<div class="part">`), next)
	}
	if !strings.Contains(string(whole), `id="L1200" data-n="1200"></span>line 1200`) || strings.Contains(string(whole), "L1201") {
		t.Error("the last line has another address than #L1200")
	}
	cut := bytes.Index(all.Bytes(), []byte("ne 700\n")) // within a line
	_, next = renderLog(all.Bytes()[:cut], 1)
	rest, last := renderLog(all.Bytes()[cut:], next)
	if next != 700 || last != 1201 || !strings.Contains(string(rest), `id="L701" data-n="701"></span>line 701`) {
		t.Errorf("the second stretch begins at line %d and ends before %d", next, last)
	}
	if html, next := renderLog([]byte("x\ny\n"), 0); next != 0 || strings.Contains(string(html), "id=") {
		t.Errorf("lines of an unknown number have addresses: %s", html)
	}
	if html, next := renderLog(nil, 7); html != "" || next != 7 {
		t.Errorf("nothing is %q, then line %d", html, next)
	}
}
