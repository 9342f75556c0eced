package pipeline

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func graphs() *rapid.Generator[Pipeline] {
	return rapid.Custom(func(t *rapid.T) Pipeline {
		p := Pipeline{Name: "p"}
		for i := range rapid.IntRange(1, 12).Draw(t, "n") {
			s := Stage{Name: fmt.Sprint(i)}
			for j := range i {
				if rapid.IntRange(0, 3).Draw(t, "edge") == 0 {
					s.Needs = append(s.Needs, fmt.Sprint(j))
				}
			}
			p.Stages = append(p.Stages, s)
		}
		slices.Reverse(p.Stages) // file order need not be an order to run in
		return p
	})
}

func TestGraphProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := graphs().Draw(t, "p")
		order, err := Order(p)
		if err != nil || len(order) != len(p.Stages) {
			t.Fatal(order, err)
		}
		cells := map[string]Cell{}
		places := map[[2]int]bool{}
		for _, c := range Layout(p) {
			cells[c.Stage] = c
			places[[2]int{c.Column, c.Row}] = true
		}
		if len(places) != len(p.Stages) {
			t.Fatal("two stages in one place")
		}
		g := newGraph(p.Stages)
		for i, s := range p.Stages {
			for _, n := range s.Needs {
				if slices.Index(order, n) > slices.Index(order, s.Name) || cells[n].Column >= cells[s.Name].Column {
					t.Fatalf("%s before %s", s.Name, n)
				}
			}
			up := Upstream(p, s.Name)
			for j, other := range p.Stages {
				is := slices.Contains(up, other.Name)
				if is != g.upstreamOf(i, j) || is != slices.Contains(Downstream(p, other.Name), s.Name) {
					t.Fatalf("%s upstream of %s: %v", other.Name, s.Name, is)
				}
			}
			if got := g.names(g.upstream(i)); !(len(got) == 0 && len(up) == 0) && !reflect.DeepEqual(got, up) {
				t.Fatalf("%v, %v", got, up)
			}
		}
	})
}

func TestGraphCycles(t *testing.T) {
	p := Pipeline{Name: "p", Stages: []Stage{{Name: "a", Needs: []string{"c"}}, {Name: "b", Needs: []string{"a"}}, {Name: "c", Needs: []string{"b"}}, {Name: "d"}}}
	if _, err := Order(p); err == nil {
		t.Error("a circle has no order")
	}
	if c := newGraph(p.Stages).cycles(5); !reflect.DeepEqual(c, [][]int{{0, 2, 1}}) {
		t.Error(c)
	}
	if Upstream(p, "nobody") != nil || len(Layout(p)) != 4 {
		t.Error("what does not exist has nothing upstream; every stage has a place")
	}
}

func BenchmarkLayout10000(b *testing.B) {
	doc, ds := Parse("large.yaml", large(10_000))
	if ds.HasErrors() {
		b.Fatal(ds)
	}
	for b.Loop() {
		Layout(doc.Pipelines[0])
	}
}
