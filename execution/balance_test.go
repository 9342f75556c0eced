package execution

import "testing"

func TestSurplus(t *testing.T) {
	for name, test := range map[string]struct {
		loads map[string]int
		to    string
		n     int
	}{
		"alone":                         {map[string]int{"me": 1000}, "", 0},
		"all here":                      {map[string]int{"me": 900, "a": 0, "b": 0}, "a", 100},
		"to the one with fewest":        {map[string]int{"me": 900, "a": 100, "b": 50}, "b", 100},
		"a little more is no reason":    {map[string]int{"me": 60, "a": 20, "b": 20}, "", 0},
		"nor is a quarter":              {map[string]int{"me": 1200, "a": 1000, "b": 900}, "", 0},
		"no more than is too much":      {map[string]int{"me": 620, "a": 560, "b": 0, "c": 560}, "b", 100},
		"a bounded number at once":      {map[string]int{"me": 90_000, "a": 0}, "a", balanceAtOnce},
		"the others have more than one": {map[string]int{"me": 10, "a": 900}, "", 0},
	} {
		if to, n := surplus(test.loads, "me"); to != test.to || n != test.n {
			t.Errorf("%s: %d to %q, want %d to %q", name, n, to, test.n, test.to)
		}
	}
}
