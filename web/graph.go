package web

import (
	"fmt"

	"showrunner/execution"
	"showrunner/pipeline"
)

// graph is a pipeline drawn: columns by depth, rows in the file's order, so that
// people know it by its shape each time.
type graph struct {
	Width, Height int
	Nodes         []node
	Edges         []edge
}

type node struct {
	X, Y, W, H int
	Class      string
	Title      string
	Note       string
	Label      string // for those who hear the page
	Href       string
}

type edge struct{ Path string }

const (
	nodeWidth  = 168
	nodeHeight = 52
	gapX       = 48
	gapY       = 18
	margin     = 6
	laneHeight = 12
)

func graphOf(e execution.Execution) graph {
	def := definition(e)
	cells := pipeline.Layout(def)
	at := map[string]node{}
	var g graph
	for i, c := range cells {
		st, _ := e.Stage(c.Stage)
		look := st.Look()
		n := node{X: margin + c.Column*(nodeWidth+gapX), Y: margin + c.Row*(nodeHeight+gapY), W: nodeWidth, H: nodeHeight,
			Class: "n-" + string(look.Tone), Title: look.Shape + " " + shorten(c.Stage, 18), Note: shorten(graphNote(st, def.Stages[i].Kind), 24),
			Href: "#stage-" + c.Stage}
		n.Label = n.Title + " " + n.Note + ": " + look.Word // begins with what is seen
		at[c.Stage] = n
		g.Nodes = append(g.Nodes, n)
		g.Width, g.Height = max(g.Width, n.X+n.W+margin), max(g.Height, n.Y+n.H+margin)
	}
	floor, lanes := g.Height-margin, 0
	for _, s := range def.Stages {
		to := at[s.Name]
		for _, need := range s.Needs {
			from := at[need]
			x1, y1, x2, y2 := from.X+from.W, from.Y+from.H/2, to.X, to.Y+to.H/2
			if x2-x1 > gapX { // columns lie between: the edge goes round below them
				lanes++
				g.Edges = append(g.Edges, edge{around(x1, y1, x2, y2, floor+lanes*laneHeight)})
				continue
			}
			mid := (x1 + x2) / 2
			g.Edges = append(g.Edges, edge{fmt.Sprintf("M%d %d C%d %d %d %d %d %d", x1, y1, mid, y1, mid, y2, x2, y2)})
		}
	}
	g.Height += lanes * laneHeight
	return g
}

// around is an edge that goes down in the gap behind its stage, along a lane below every
// stage, and up in the gap before the other one: it passes behind none.
func around(x1, y1, x2, y2, lane int) string {
	const corner = gapX / 4
	down, up := x1+2*corner, x2-2*corner
	return fmt.Sprintf("M%d %d H%d Q%d %d %d %d V%d Q%d %d %d %d H%d Q%d %d %d %d V%d Q%d %d %d %d H%d",
		x1, y1, down-corner, down, y1, down, y1+corner, lane-corner, down, lane, down+corner, lane,
		up-corner, up, lane, up, lane-corner, y2+corner, up, y2, up+corner, y2, x2)
}

func graphNote(st execution.StageState, kind string) string {
	switch {
	case st.Activity != "":
		return st.Look().Word
	case st.Status == execution.Running && st.Progress != "":
		return st.Progress
	case st.Started != nil && st.Status != execution.Skipped:
		return kind + " · " + spanOf(st.Started, st.Ended)
	}
	return kind
}

func shorten(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
