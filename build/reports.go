package build

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"showrunner/build/buildspec"
	"showrunner/build/report"
	"showrunner/problem"
)

// readReports reads the reports of every group. They say something about the
// tests, and never change the status of the build.
func (b *run) readReports(ctx context.Context) {
	for _, group := range b.spec.Reports {
		if ctx.Err() != nil {
			return
		}
		r := b.readGroup(ctx, group)
		b.result.Reports = append(b.result.Reports, r)
		switch {
		case r.Coverage != nil:
			b.log.say("Report %s: %.2f %% of %d lines, %.2f %% of %d branches", r.Name, r.Coverage.LinePercent, r.Coverage.LinesTotal, r.Coverage.BranchPercent, r.Coverage.BranchesTotal)
		default:
			b.log.say("Report %s: %s, %d cases, %d failed, %d broke, %d skipped", r.Name, r.Status, r.Total,
				r.Counts[report.Failed], r.Counts[report.Errored], r.Counts[report.Skipped])
		}
		for i, c := range r.Failing() {
			if i == 20 {
				b.log.say("  … and %d more", len(r.Failing())-i)
				break
			}
			b.log.say("  %s %s / %s: %s", c.Status, c.Suite, c.Name, first(lastLines(c.Message, 1<<20)))
		}
		if r.Message != "" {
			b.log.say("Warning: report %s: %s", r.Name, r.Message)
		}
	}
}

func first(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return lines[0]
}

func (b *run) readGroup(ctx context.Context, group buildspec.ReportGroup) Report {
	name := group.Name
	r := Report{Name: reportName(b.req.Project, name), Group: name, Format: group.Format, Status: "SUCCEEDED", Files: []string{}}
	r.Kind = report.KindOf(group.Format)
	incomplete := func(message string) Report {
		r.Status, r.Message = "INCOMPLETE", message
		return r
	}
	set, err := b.expandSet(ctx, buildspec.ArtifactSet{Files: group.Files, BaseDirectory: group.BaseDirectory})
	if err != nil {
		return incomplete(problem.Text(err))
	}
	c := collector{root: b.src, say: func(string, ...any) {}}
	files, err := c.artifact(set)
	if err != nil {
		return incomplete(problem.Text(err))
	}
	for _, f := range files {
		one, err := readReport(group.Format, f.Source)
		if err != nil {
			r.Status, r.Message = "INCOMPLETE", f.Path+": "+err.Error()
			continue
		}
		path := f.Path
		if group.DiscardPaths {
			path = filepath.Base(path)
		}
		r.Files = append(r.Files, path)
		r.Merge(one)
	}
	if r.Status == "SUCCEEDED" && len(r.Failing()) > 0 {
		r.Status = "FAILED"
	}
	return r
}

// reportName is a report's: project-group, or the group alone where it is named by its ARN.
func reportName(project, group string) string {
	if _, name, ok := strings.Cut(group, ":report-group/"); ok && strings.HasPrefix(group, "arn:") {
		return name
	}
	return project + "-" + group
}

func readReport(format, name string) (report.Result, error) {
	f, err := os.Open(name)
	if err != nil {
		return report.Result{}, err
	}
	defer f.Close()
	return report.Parse(format, f)
}
