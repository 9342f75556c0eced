package gameday

import (
	_ "embed" // the page
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"
)

//go:embed report.html
var pageText string

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"percent": percent, "milliseconds": milliseconds, "seconds": seconds, "recovery": recoveryText,
	"at": func(s Seconds) string { return fmt.Sprintf("%.0f s", s.float()) },
}).Parse(pageText))

// Page writes the report as one HTML file with a picture of its time.
func (r *Report) Page(w io.Writer) error {
	return page.Execute(w, map[string]any{"Report": r, "Picture": r.Picture(), "Stretches": r.Stretches()})
}

// Sizes of the picture, in its own units.
const (
	pictureWidth, pictureHeight = 1000, 300
	plotTop, plotBottom         = 40, 270
)

// Picture draws the seconds: p99 as a line, failures as bars, events as marks above. All
// of it is made of numbers, so that nothing in it needs escaping.
func (r *Report) Picture() template.HTML {
	var b strings.Builder
	length := max(r.Took.float(), 1)
	x := func(s float64) float64 { return s / length * pictureWidth }
	most := Seconds(10 * time.Millisecond)
	for _, p := range r.Timeline {
		most = max(most, p.P99)
	}
	y := func(d Seconds) float64 {
		return plotBottom - float64(d)/float64(most)*(plotBottom-plotTop)
	}
	fmt.Fprintf(&b, `<svg viewBox="0 -14 %d %d" role="img" aria-label="p99, failed requests and events by time">`, pictureWidth, pictureHeight+14)
	for _, h := range r.Events {
		if h.Lasts > 0 && h.Failure == "" {
			fmt.Fprintf(&b, `<rect class="outage" x="%.1f" y="%d" width="%.1f" height="%d"><title>%s</title></rect>`, x(h.Began.float()), plotTop, max(x(h.Lasts.float()), 1), plotBottom-plotTop, h.Kind)
		}
	}
	points := make([]string, 0, len(r.Timeline))
	for _, p := range r.Timeline {
		points = append(points, fmt.Sprintf("%.1f,%.1f", x(float64(p.Second)), y(p.P99)))
	}
	fmt.Fprintf(&b, `<polyline class="p99" points="%s"/>`, strings.Join(points, " "))
	for _, p := range r.Timeline {
		if p.Failed > 0 {
			share := float64(p.Failed) / float64(max(p.Requests, 1))
			h := max(share*(plotBottom-plotTop), 4)
			fmt.Fprintf(&b, `<rect class="failed" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>second %d: %d of %d failed</title></rect>`, x(float64(p.Second)), plotBottom-h, max(x(1), 2), h, p.Second, p.Failed, p.Requests)
		}
	}
	// Each kind has a height and a shape of its own.
	for _, h := range r.Events {
		at := x(h.Began.float())
		switch {
		case h.Began == 0:
		case h.Kind == Deployment:
			fmt.Fprintf(&b, `<path class="deployment" d="M%.1f 0 l6 10 l-12 0 z"><title>deployment</title></path>`, at)
		case h.Kind == Kill:
			fmt.Fprintf(&b, `<path class="kill" d="M%.1f 16 l8 8 m-8 0 l8 -8"><title>kill</title></path>`, at-4)
		default:
			fmt.Fprintf(&b, `<rect class="mark" x="%.1f" y="28" width="8" height="8"><title>%s</title></rect>`, at-4, h.Kind)
		}
	}
	fmt.Fprintf(&b, `<line class="axis" x1="0" x2="%d" y1="%d" y2="%d"/><text x="0" y="%d">0 s</text><text x="%d" y="%d" text-anchor="end">%.0f s</text><text x="%d" y="%d" text-anchor="middle">height: p99 of %s</text></svg>`,
		pictureWidth, plotBottom, plotBottom, plotBottom+18, pictureWidth, plotBottom+18, length, pictureWidth/2, plotBottom+18, milliseconds(most))
	return template.HTML(b.String())
}
