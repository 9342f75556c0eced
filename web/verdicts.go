package web

import (
	"fmt"
	"html/template"
	"math"
	"net/http"

	"showrunner/api"
	"showrunner/canary"
	"showrunner/canary/judge/sequential"
	"showrunner/control"
	"showrunner/internal/plot"
)

// regionVerdict is a region's report as the page shows it.
type regionVerdict struct {
	control.CanaryReport
	Tone   string // of the verdict
	Shape  string
	Rows   []metricRow
	Charts []template.HTML
	// Counted says that the judge of the load balancer's counts has a report, Decision is
	// that of both judges, and ValueCharts are of the analysis' metrics.
	Counted     bool
	Decision    sequential.Decision
	ValueCharts []template.HTML
}

// metricRow is a line of the table of metrics.
type metricRow struct {
	sequential.MetricResult
	Effects, Interval, Limits, Evidence, Label string
}

// verdicts is the page of what a canary's judge found.
func (p *Pages) verdicts(w http.ResponseWriter, r *http.Request) error {
	who := api.PrincipalOf(r)
	e, err := p.Control.Execution(r.Context(), who, r.PathValue("id"))
	if err != nil {
		return err
	}
	v, err := p.Control.Verdicts(r.Context(), who, r.PathValue("id"), r.PathValue("stage"))
	if err != nil {
		return err
	}
	every := 2
	if e.Status.Complete() {
		every = 0
	}
	return p.show(w, r, "verdicts", view{Title: v.Stage + ": the canary's judge", Nav: "executions", Same: "showrunner executions show " + e.ID + " -o json",
		Live: runEvents, Execution: e.ID, Every: every, Data: verdictsData(e.Application+" › "+e.Pipeline, e.Number, v)})
}

func verdictsData(name string, number int, v control.CanaryVerdicts) map[string]any {
	var regions []regionVerdict
	for _, r := range v.Regions {
		regions = append(regions, shown(r))
	}
	return map[string]any{"Name": name, "Number": number, "V": v, "Regions": regions}
}

func shown(r control.CanaryReport) regionVerdict {
	v := regionVerdict{CanaryReport: r, Tone: "run", Shape: "…", Counted: r.Verdict.Decision != "", Decision: r.Verdict.Decision}
	if a := r.Analysis; a != nil {
		if !v.Counted || v.Decision == sequential.Pass || a.Decision == sequential.Fail {
			v.Decision = a.Decision
		}
		for _, m := range a.Metrics {
			v.ValueCharts = append(v.ValueCharts, valuesChart(*a, m))
		}
	}
	switch v.Decision {
	case sequential.Pass:
		v.Tone, v.Shape = "ok", "✓"
	case sequential.Fail:
		v.Tone, v.Shape = "fail", "✕"
	case sequential.Inconclusive:
		v.Tone, v.Shape = "wait", "▲"
	}
	for i, m := range r.Verdict.Metrics {
		row := metricRow{MetricResult: m, Effects: amount(m, m.Effect), Limits: amount(m, &m.Limit), Interval: "unknown", Label: "no verdict yet"}
		if m.Low != nil || m.High != nil {
			row.Interval = orZero(m, m.Low) + " to " + amount(m, m.High)
		}
		if m.Limit == 0 {
			row.Limits = "-"
		}
		row.Evidence = fmt.Sprintf("%.3g of %.3g", m.LogE, m.Stop)
		switch {
		case m.Label == sequential.Fail:
			row.Label = "against the new version"
		case m.Label == sequential.Pass:
			row.Label = "shown to be no worse"
		case r.Verdict.Decision == sequential.Pass:
			row.Label = "nothing against it"
		}
		v.Rows = append(v.Rows, row)
		if m.Gate {
			v.Charts = append(v.Charts, effectChart(r, m, i), evidenceChart(r, m, i))
		}
	}
	return v
}

// amount is an effect for people: a ratio, or a share.
func amount(m sequential.MetricResult, v *float64) string {
	switch {
	case v == nil && m.Kind == sequential.ErrorRatio:
		return "∞"
	case v == nil:
		return "unknown"
	case m.Kind == sequential.ErrorRatio:
		return fmt.Sprintf("%.3g×", *v)
	case m.Kind == sequential.Quantile:
		return fmt.Sprintf("%.3g s", *v)
	}
	return fmt.Sprintf("%.3g %%", 100**v)
}

func orZero(m sequential.MetricResult, v *float64) string {
	if v == nil {
		return amount(m, new(float64))
	}
	return amount(m, v)
}

const chartWidth, chartHeight = 860, 250

// effectChart draws a metric's effect with its interval over time, and its limit.
func effectChart(r control.CanaryReport, m sequential.MetricResult, at int) template.HTML {
	ratio := m.Kind == sequential.ErrorRatio
	c := plot.Chart{Title: m.Name, Width: chartWidth, Height: chartHeight, Description: m.Reason,
		X: plot.Axis{Label: "seconds since counting began"}, Y: plot.Axis{Label: "effect (%)"}}
	lowest, highest, scale := -100.0, 100.0, 100.0
	if ratio {
		lowest, highest, scale = 0.05, 50, 1 // further bounds are as good as unknown
		c.Y = plot.Axis{Label: "times as often", Log: true}
	}
	line, band := plot.Line{Label: "effect", Class: "c1"}, plot.Band{Class: "c1"}
	for _, p := range r.Series {
		if at >= len(p.Metrics) {
			continue
		}
		x, v := p.At-r.Verdict.Began, p.Metrics[at]
		value := func(known *float64, unknown float64) float64 {
			if known == nil {
				return unknown
			}
			return min(max(*known*scale, lowest), highest)
		}
		line.Points = append(line.Points, [2]float64{x, value(v.Effect, math.NaN())})
		band.Points = append(band.Points, [3]float64{x, value(v.Low, lowest), value(v.High, highest)})
	}
	c.Lines, c.Bands = []plot.Line{line}, []plot.Band{band}
	if m.Limit > 0 {
		c.Rules = append(c.Rules, plot.Rule{Label: "limit", Class: "limit", At: m.Limit * scale})
	}
	if m.Accept > 0 {
		c.Rules = append(c.Rules, plot.Rule{Label: "to be shown below", Class: "c3", At: m.Accept * scale})
	}
	return template.HTML(c.SVG()) //nolint:gosec // plot escapes what it is given
}

// valuesChart draws the points of both sides of a metric.
func valuesChart(a canary.Report, m canary.MetricReport) template.HTML {
	side := func(label, class string, values canary.Values) plot.Line {
		line := plot.Line{Label: label, Class: class}
		length := a.Window.End.Sub(a.Window.Start).Seconds()
		for i, v := range values {
			line.Points = append(line.Points, [2]float64{length * float64(i) / float64(max(len(values)-1, 1)), v})
		}
		return line
	}
	return template.HTML(plot.Chart{Title: m.Name, Width: chartWidth, Height: chartHeight, Description: m.Reason,
		X: plot.Axis{Label: "seconds since the window began"}, Y: plot.Axis{Label: m.Name},
		Lines: []plot.Line{side("new version", "c1", m.CanaryValues), side("baseline", "c2", m.BaselineValues)}}.SVG()) //nolint:gosec // as above
}

// evidenceChart draws the evidence against the new version, and where it stops.
func evidenceChart(r control.CanaryReport, m sequential.MetricResult, at int) template.HTML {
	line := plot.Line{Label: "evidence", Class: "c2"}
	for _, p := range r.Series {
		if at < len(p.Metrics) {
			line.Points = append(line.Points, [2]float64{p.At - r.Verdict.Began, p.Metrics[at].LogE})
		}
	}
	return template.HTML(plot.Chart{Title: m.Name + ": evidence against the new version", Width: chartWidth, Height: chartHeight,
		Description: fmt.Sprintf("evidence %.3g; the version fails at %.3g", m.LogE, m.Stop),
		X:           plot.Axis{Label: "seconds since counting began"}, Y: plot.Axis{Label: "ln(evidence)"}, Lines: []plot.Line{line},
		Rules: []plot.Rule{{Label: fmt.Sprintf("fails here: alpha %.3g", m.Alpha), Class: "limit", At: m.Stop}}}.SVG()) //nolint:gosec // as above
}
