package pipeline

import (
	"math/bits"
	"slices"

	"showrunner/problem"
)

// graph is the stages by position, with edges both ways. Needs that name no
// stage are left out.
type graph struct {
	stages []Stage
	index  map[string]int
	needs  [][]int
	after  [][]int
	// ancestors holds a bit set of what is upstream, made when first asked for.
	ancestors [][]uint64
}

func newGraph(stages []Stage) *graph {
	g := &graph{stages: stages, index: make(map[string]int, len(stages)),
		needs: make([][]int, len(stages)), after: make([][]int, len(stages))}
	for i, s := range stages {
		g.index[s.Name] = i
	}
	seen := make([]int, len(stages)) // 1 + the last stage that needed this stage
	for i, s := range stages {
		for _, n := range s.Needs {
			if j, ok := g.index[n]; ok && seen[j] != i+1 {
				seen[j] = i + 1
				g.needs[i] = append(g.needs[i], j)
				g.after[j] = append(g.after[j], i)
			}
		}
	}
	return g
}

// order returns the positions so that every stage comes after what it needs,
// otherwise in file order; on a cycle, the stages that are on none or after one.
func (g *graph) order() []int {
	missing := make([]int, len(g.stages))
	var ready, out []int
	for i := range g.stages {
		if missing[i] = len(g.needs[i]); missing[i] == 0 {
			ready = append(ready, i)
		}
	}
	for len(ready) > 0 {
		i := ready[0]
		ready = ready[1:]
		out = append(out, i)
		for _, j := range g.after[i] {
			if missing[j]--; missing[j] == 0 {
				ready = append(ready, j)
			}
		}
	}
	return out
}

// upstreamOf tells whether stage j is upstream of stage i. The graph has no cycle.
func (g *graph) upstreamOf(i, j int) bool {
	if len(g.needs[i]) < 16 && slices.Contains(g.needs[i], j) {
		return true
	}
	if g.ancestors == nil {
		words := (len(g.stages) + 63) / 64
		g.ancestors = make([][]uint64, len(g.stages))
		for _, k := range g.order() {
			if len(g.needs[k]) == 0 {
				continue
			}
			set := make([]uint64, words)
			for _, n := range g.needs[k] {
				set[n/64] |= 1 << (n % 64)
				for w, v := range g.ancestors[n] {
					set[w] |= v
				}
			}
			g.ancestors[k] = set
		}
	}
	return g.ancestors[i] != nil && g.ancestors[i][j/64]&(1<<(j%64)) != 0
}

// upstream lists the positions of what is upstream of stage i.
func (g *graph) upstream(i int) []int {
	g.upstreamOf(i, i) // fills ancestors, unless i needs itself, which checks refuse
	var out []int
	if g.ancestors == nil {
		return out
	}
	for w, v := range g.ancestors[i] {
		for ; v != 0; v &= v - 1 {
			out = append(out, w*64+bits.TrailingZeros64(v))
		}
	}
	return out
}

// cycles returns one cycle for each edge that closes one, as positions: each
// needs the next and the last needs the first.
func (g *graph) cycles(limit int) [][]int {
	const (
		unseen = iota
		open
		done
	)
	var out [][]int
	state := make([]byte, len(g.stages))
	next := make([]int, len(g.stages))
	for start := range g.stages {
		if state[start] != unseen {
			continue
		}
		path := []int{start}
		state[start] = open
		for len(path) > 0 && len(out) < limit {
			i := path[len(path)-1]
			if next[i] == len(g.needs[i]) {
				state[i] = done
				path = path[:len(path)-1]
				continue
			}
			j := g.needs[i][next[i]]
			next[i]++
			switch state[j] {
			case unseen:
				state[j] = open
				path = append(path, j)
			case open:
				out = append(out, slices.Clone(path[slices.Index(path, j):]))
			}
		}
	}
	return out
}

// Order lists the stages so that each comes after all that it needs; among
// those that could be next, in file order of becoming ready. It returns
// problem.Invalid when there is a cycle.
func Order(p Pipeline) ([]string, error) {
	g := newGraph(p.Stages)
	order := g.order()
	if len(order) < len(p.Stages) {
		return nil, problem.New(problem.Invalid, "pipeline.order", "the stages of pipeline %q need each other in a circle", p.Name)
	}
	return g.names(order), nil
}

func (g *graph) names(positions []int) []string {
	names := make([]string, len(positions))
	for i, p := range positions {
		names[i] = g.stages[p].Name
	}
	return names
}

// Upstream lists what must end before a stage can start, directly or not, in
// file order; nil for a stage that does not exist.
func Upstream(p Pipeline, stage string) []string {
	g := newGraph(p.Stages)
	return g.reach(stage, g.needs)
}

// Downstream lists the stages that wait for a stage, directly or not, in file order.
func Downstream(p Pipeline, stage string) []string {
	g := newGraph(p.Stages)
	return g.reach(stage, g.after)
}

func (g *graph) reach(stage string, edges [][]int) []string {
	start, ok := g.index[stage]
	if !ok {
		return nil
	}
	seen := make([]bool, len(g.stages))
	queue := []int{start}
	var found []int
	for len(queue) > 0 {
		i := queue[0]
		queue = queue[1:]
		for _, j := range edges[i] {
			if !seen[j] && j != start {
				seen[j] = true
				found = append(found, j)
				queue = append(queue, j)
			}
		}
	}
	slices.Sort(found)
	return g.names(found)
}

// Cell is where a stage is drawn: Column is the length of the longest path to
// it, Row its place within the column.
type Cell struct {
	Stage  string
	Column int
	Row    int
}

// Layout places the stages on a grid, in file order. An edge always goes from
// a lower column to a higher one. Stages on a cycle, which Parse refuses, come
// out in column 0.
func Layout(p Pipeline) []Cell {
	g := newGraph(p.Stages)
	cells := make([]Cell, len(p.Stages))
	for _, i := range g.order() {
		for _, j := range g.needs[i] {
			cells[i].Column = max(cells[i].Column, cells[j].Column+1)
		}
	}
	var rows []int
	for i := range cells {
		cells[i].Stage = p.Stages[i].Name
		for len(rows) <= cells[i].Column {
			rows = append(rows, 0)
		}
		cells[i].Row = rows[cells[i].Column]
		rows[cells[i].Column]++
	}
	return cells
}
