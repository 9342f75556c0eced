package cli

import (
	"net"
	"strings"
	"testing"

	"showrunner/problem"
)

// Addresses that are taken are named with their flags, all at once.
func TestUpNamesEveryTakenAddress(t *testing.T) {
	t.Parallel()
	hold := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l.Addr().String()
	}
	listen, edge := hold(), hold()
	for name, c := range map[string]struct {
		o    upOptions
		want []string
	}{
		"none": {upOptions{listen: "127.0.0.1:0", edge: "127.0.0.1:0"}, nil},
		"one":  {upOptions{listen: "127.0.0.1:0", edge: edge}, []string{"--edge " + edge + " (address already in use)"}},
		"both": {upOptions{listen: listen, edge: edge}, []string{"--listen " + listen, "--edge " + edge}},
	} {
		err := c.o.portsFree()
		if (err != nil) != (len(c.want) > 0) || err != nil && problem.CodeOf(err) != problem.Conflict {
			t.Errorf("%s: %v", name, err)
		}
		for _, w := range c.want {
			if err != nil && !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v does not name %q", name, err, w)
			}
		}
	}
}
