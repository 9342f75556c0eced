// Package plot draws line charts as SVG, on the server: for pages that allow no
// script and no inline style, and for documents. Lines are told apart by colour, by
// dash pattern and by their label, and everything is named by classes, so that a page's
// style sheet decides how it looks in light and dark.
package plot

import (
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Chart is one panel. Width and Height are its size in pixels.
type Chart struct {
	Title         string
	Description   string // for those who hear the page
	X, Y          Axis
	Lines         []Line
	Bands         []Band
	Rules         []Rule
	Width, Height int
}

// Axis is one direction. From and To are its ends; without them the data decide.
type Axis struct {
	Label    string
	Log      bool
	From, To float64
	// Format writes the value of a tick; a plain number when nil.
	Format func(float64) string
}

// Line joins points. Class names its colour: c1 to c6. A point that is not finite
// interrupts it.
type Line struct {
	Label  string
	Class  string
	Points [][2]float64
}

// Band is an area between two lines: x, low and high of each point.
type Band struct {
	Class  string
	Points [][3]float64
}

// Rule is a horizontal line over the whole width, such as a limit.
type Rule struct {
	Label string
	Class string
	At    float64
}

// The space around the plotting area.
const (
	left, right, top, bottom = 62, 24, 34, 46
	fontWidth                = 7.0 // about, of the labels
)

// Style is a style sheet for a chart that stands alone, in light and dark.
const Style = `.plot text{font:12px system-ui,sans-serif;fill:#16191d}.plot .title{font-weight:600;font-size:13px}.plot .dim{fill:#59636e}
.plot .grid{stroke:#d5dbe1}.plot .axis{stroke:#59636e}.plot .line{fill:none;stroke-width:2}.plot .band{stroke:none;opacity:.18}.plot .rule{stroke-width:1.5;stroke-dasharray:6 4}
.plot .c1{stroke:#1242c9}.plot .c2{stroke:#b25e00;stroke-dasharray:8 3}.plot .c3{stroke:#0b7a53;stroke-dasharray:2 3}.plot .c4{stroke:#8f2f11;stroke-dasharray:10 3 2 3}.plot .c5{stroke:#6b3fa0}.plot .c6{stroke:#434343;stroke-dasharray:4 4}
.plot .band.c1{fill:#1242c9}.plot .band.c2{fill:#b25e00}.plot .limit{stroke:#8f2f11}
@media (prefers-color-scheme:dark){.plot text{fill:#e6edf3}.plot .dim{fill:#9aa4af}.plot .grid{stroke:#30363d}.plot .axis{stroke:#9aa4af}.plot .back{fill:#0d1117}
.plot .c1{stroke:#7db0f0}.plot .c2{stroke:#fbb86a}.plot .c3{stroke:#58f9de}.plot .c4{stroke:#ff8a4d}.plot .c5{stroke:#d2a8ff}.plot .c6{stroke:#c0c8d0}.plot .band.c1{fill:#7db0f0}.plot .limit{stroke:#ff8a4d}}
.plot .back{fill:#fff}@media (prefers-color-scheme:dark){.plot .back{fill:#0d1117}}`

// SVG draws a chart as an svg element without any style.
func (c Chart) SVG() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" class="plot" role="img" viewBox="0 0 %d %d" width="%d" height="%d">`, c.Width, c.Height, c.Width, c.Height)
	fmt.Fprintf(&b, "<title>%s</title><desc>%s</desc>", escaped(c.Title), escaped(c.Description))
	c.draw(&b, 0, 0)
	b.WriteString("</svg>\n")
	return b.String()
}

// Sheet draws charts below each other as a document of its own, with Style.
func Sheet(charts ...Chart) string {
	width, height := 0, 0
	for _, c := range charts {
		width, height = max(width, c.Width), height+c.Height
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" class="plot" role="img" viewBox="0 0 %d %d" width="%d" height="%d"><style>%s</style><rect class="back" width="%d" height="%d"/>`+"\n", width, height, width, height, Style, width, height)
	y := 0
	for _, c := range charts {
		c.draw(&b, 0, y)
		y += c.Height
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// scale maps values to pixels.
type scale struct {
	from, to   float64
	start, end float64
	log        bool
}

func (s scale) at(v float64) float64 {
	from, to := s.from, s.to
	if s.log {
		v, from, to = math.Log(max(v, s.from)), math.Log(from), math.Log(to)
	}
	share := min(max((v-from)/(to-from), 0), 1)
	return s.start + share*(s.end-s.start)
}

func (c Chart) draw(b *strings.Builder, dx, dy int) {
	x, y := c.scales()
	fmt.Fprintf(b, `<g transform="translate(%d %d)"><text class="title" x="%d" y="18">%s</text>`+"\n", dx, dy, left, escaped(c.Title))
	c.axes(b, x, y)
	for _, band := range c.Bands {
		b.WriteString(`<path class="band ` + band.Class + `" d="` + bandPath(band, x, y) + `"/>` + "\n")
	}
	for _, r := range c.Rules {
		if !finite(r.At) {
			continue
		}
		at := y.at(r.At)
		fmt.Fprintf(b, `<path class="rule %s" d="M%.1f %.1fH%.1f"/><text class="dim" x="%.1f" y="%.1f" text-anchor="end">%s</text>`+"\n", r.Class, x.start, at, x.end, x.end-4, at-5, escaped(r.Label))
	}
	for _, l := range c.Lines {
		fmt.Fprintf(b, `<path class="line %s" d="%s"/>`+"\n", l.Class, linePath(l, x, y))
	}
	c.legend(b)
	b.WriteString("</g>\n")
}

// legend names the lines in a row above the plot.
func (c Chart) legend(b *strings.Builder) {
	at := float64(left) + 1.1*fontWidth*float64(len(c.Title)) + 24
	for _, l := range c.Lines {
		if l.Label == "" {
			continue
		}
		fmt.Fprintf(b, `<path class="line %s" d="M%.0f 14h22"/><text x="%.0f" y="18">%s</text>`, l.Class, at, at+27, escaped(l.Label))
		at += 27 + fontWidth*float64(len(l.Label)) + 16
	}
	b.WriteString("\n")
}

func (c Chart) axes(b *strings.Builder, x, y scale) {
	for _, v := range ticks(x, 7) {
		fmt.Fprintf(b, `<path class="grid" d="M%.1f %.1fV%.1f"/><text class="dim" x="%.1f" y="%d" text-anchor="middle">%s</text>`, x.at(v), y.start, y.end, x.at(v), c.Height-bottom+16, escaped(c.X.text(v)))
	}
	for _, v := range ticks(y, 5) {
		fmt.Fprintf(b, `<path class="grid" d="M%.1f %.1fH%.1f"/><text class="dim" x="%d" y="%.1f" text-anchor="end">%s</text>`, x.start, y.at(v), x.end, left-6, y.at(v)+4, escaped(c.Y.text(v)))
	}
	fmt.Fprintf(b, `<path class="axis" fill="none" d="M%.1f %.1fV%.1fH%.1f"/>`, x.start, y.end, y.start, x.end)
	fmt.Fprintf(b, `<text class="dim" x="%.1f" y="%d" text-anchor="middle">%s</text>`, (x.start+x.end)/2, c.Height-bottom+36, escaped(c.X.Label))
	fmt.Fprintf(b, `<text class="dim" transform="translate(14 %.1f) rotate(-90)" text-anchor="middle">%s</text>`+"\n", (y.start+y.end)/2, escaped(c.Y.Label))
}

func (a Axis) text(v float64) string {
	if a.Format != nil {
		return a.Format(v)
	}
	if size := math.Abs(v); size >= 1e6 || size > 0 && size < 1e-4 {
		return fmt.Sprintf("%.4g", v)
	}
	return strconv.FormatFloat(math.Round(v*1e4)/1e4, 'f', -1, 64)
}

// scales fit the axes to what is drawn.
func (c Chart) scales() (x, y scale) {
	lowX, highX, lowY, highY := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	see := func(px, py float64) {
		if finite(px) && !(c.X.Log && px <= 0) {
			lowX, highX = min(lowX, px), max(highX, px)
		}
		if finite(py) && !(c.Y.Log && py <= 0) {
			lowY, highY = min(lowY, py), max(highY, py)
		}
	}
	for _, l := range c.Lines {
		for _, p := range l.Points {
			see(p[0], p[1])
		}
	}
	for _, b := range c.Bands {
		for _, p := range b.Points {
			see(p[0], p[1])
			see(p[0], p[2])
		}
	}
	for _, r := range c.Rules {
		see(math.NaN(), r.At)
	}
	x = c.X.scale(lowX, highX, left, float64(c.Width-right))
	y = c.Y.scale(lowY, highY, float64(c.Height-bottom), top)
	return x, y
}

// escaped is text inside an element; what XML does not know is replaced.
func escaped(text string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(text)); err != nil {
		return ""
	}
	return b.String()
}

// finite says whether a value can be drawn.
func finite(v float64) bool { return math.Abs(v) <= 1e15 }

func (a Axis) scale(low, high, start, end float64) scale {
	if !finite(low) || !finite(high) {
		low, high = 0, 1
		if a.Log {
			low = 0.1
		}
	}
	if a.From != a.To {
		low, high = a.From, a.To
	}
	switch {
	case low == high && a.Log:
		low, high = max(low/2, math.SmallestNonzeroFloat64), high*2
	case low == high:
		low, high = low-0.5, high+0.5
	}
	return scale{from: low, to: high, start: start, end: end, log: a.Log}
}

// ticks are round values of a scale, about as many as wanted.
func ticks(s scale, wanted int) (list []float64) {
	if s.log {
		steps := []float64{1, 2, 5}
		if math.Log10(s.to/s.from) > 3 {
			steps = steps[:1]
		}
		// The exponents of every number there is: a scale that reaches one that is too small
		// for its logarithm would have no first.
		from, to := max(math.Floor(math.Log10(s.from)), -324), min(math.Ceil(math.Log10(s.to)), 309)
		for e := from; e <= to; e++ {
			for _, m := range steps {
				if v := m * math.Pow(10, e); v >= s.from*0.999 && v <= s.to*1.001 {
					list = append(list, v)
				}
			}
		}
		return list
	}
	raw := (s.to - s.from) / float64(wanted)
	unit := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 5, 10} {
		if unit*m >= raw {
			unit *= m
			break
		}
	}
	first := math.Ceil(s.from/unit - 1e-9)
	for i := range 2*wanted + 2 {
		if v := (first + float64(i)) * unit; v <= s.to+unit*1e-9 {
			list = append(list, v)
		}
	}
	return list
}

func linePath(l Line, x, y scale) string {
	var b strings.Builder
	pen := "M"
	for _, p := range l.Points {
		if !finite(p[0]) || !finite(p[1]) {
			pen = "M"
			continue
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", pen, x.at(p[0]), y.at(p[1]))
		pen = "L"
	}
	return b.String()
}

func bandPath(band Band, x, y scale) string {
	var b strings.Builder
	pen := "M"
	for _, p := range band.Points {
		fmt.Fprintf(&b, "%s%.1f %.1f", pen, x.at(p[0]), y.at(p[2]))
		pen = "L"
	}
	for i := len(band.Points) - 1; i >= 0; i-- {
		p := band.Points[i]
		fmt.Fprintf(&b, "L%.1f %.1f", x.at(p[0]), y.at(p[1]))
	}
	if len(band.Points) > 0 {
		b.WriteString("Z")
	}
	return b.String()
}
