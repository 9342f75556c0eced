package cli

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"showrunner/execution"
	"showrunner/internal/span"
	"showrunner/stage"
	"showrunner/stage/gate"
)

// shape draws a look; its word stands beside it, so that neither colour nor the
// shape alone carries the meaning.
func (a *app) shape(l execution.Look) string {
	if a.Getenv("TERM") == "dumb" || a.Getenv("SHOWRUNNER_ASCII") != "" {
		return l.ASCII
	}
	return l.Shape
}

// standing is a look as lists and heads show it: shape and word.
func (a *app) standing(l execution.Look) string { return a.shape(l) + " " + l.Word }

// tree draws an execution: a line for the whole, a line for each stage.
func (a *app) tree(e execution.Execution, now time.Time) []string {
	head := fmt.Sprintf("%s › %s › #%d  %s  %s", e.Application, e.Pipeline, e.Number, a.standing(e.Look()), took(e.Started, endOr(e.Ended, now)))
	if e.By != "" {
		head += "  by " + e.By
	}
	if r := e.Revision; r != nil {
		head += "  " + revisionText(r, e.By)
	}
	lines := []string{clean(head)}
	if e.Cause != "" {
		lines = append(lines, "│  "+clean(e.Cause))
	}
	width := 0
	for _, st := range e.Stages {
		width = max(width, len(st.Name))
	}
	for i, st := range e.Stages {
		branch := "├─"
		if i == len(e.Stages)-1 {
			branch = "└─"
		}
		line := fmt.Sprintf("%s %s %-*s  %8s", branch, a.shape(st.Look()), width, st.Name, stageTook(st, now))
		if note := stageNote(st, now); note != "" {
			line += "  " + note
		}
		lines = append(lines, clean(line))
		for _, what := range toDecide(e, st) {
			lines = append(lines, "│      "+clean(what))
		}
		for _, what := range lacking(st) {
			lines = append(lines, "│      "+clean(what))
		}
	}
	return lines
}

// toDecide says what a waiting approval asks, and the command that answers it.
func toDecide(e execution.Execution, st execution.StageState) []string {
	run := fmt.Sprintf("%s/%s#%d %s", e.Application, e.Pipeline, e.Number, st.Name)
	switch {
	case st.Activity == execution.WaitingForDecision:
		return []string{"showrunner executions signal " + run + " retry, done or fail"}
	case st.Activity != execution.WaitingForApproval:
		return nil
	}
	list := []string{"showrunner approve " + run}
	if s, err := gate.ParseState(st.State); err == nil {
		if s.Instructions != "" {
			list = append(list, "instructions: "+s.Instructions)
		}
		if len(s.Approvers) > 0 {
			list = append(list, "may decide: "+strings.Join(s.Approvers, ", "))
		}
	}
	return list
}

func stageTook(st execution.StageState, now time.Time) string {
	if st.Attempt == 0 || st.Status == execution.Skipped {
		return ""
	}
	return took(st.Started, endOr(st.Ended, now))
}

func endOr(end *time.Time, now time.Time) *time.Time {
	if end == nil {
		return &now
	}
	return end
}

// stageNote is the one thing worth saying beside a stage.
func stageNote(st execution.StageState, now time.Time) string {
	var parts []string
	if st.Attempt > 1 {
		parts = append(parts, fmt.Sprintf("attempt %d", st.Attempt))
	}
	switch {
	case st.Activity.WaitsForPerson():
		parts = append(parts, strings.ToLower(st.Look().Word)+approvals(st))
		if st.Reason != "" {
			parts = append(parts, st.Reason)
		}
	case !st.Status.Complete() && st.Progress != "":
		parts = append(parts, st.Progress)
	case st.Failure != nil:
		parts = append(parts, st.Failure.Code+": "+firstLine(st.Failure.Cause))
	case st.Reason != "":
		parts = append(parts, st.Reason)
	case st.Status == execution.Succeeded:
		parts = append(parts, outputsNote(st))
	}
	switch {
	case st.Status.Complete():
	case st.WaitsUntil != nil:
		parts = append(parts, span.Text(st.WaitsUntil.Sub(now))+" left")
	case st.Until != nil && !looksAgain(st) && st.Activity != execution.Frozen: // its reason says when a freeze ends
		parts = append(parts, "until "+clock(*st.Until, now))
	}
	return strings.Join(parts, ", ")
}

// looksAgain says that the stage's Until is when it looks again, and not when what
// it waits for is over.
func looksAgain(st execution.StageState) bool {
	return st.Stopping || st.Phase == execution.PhaseWaiting && st.Reason != ""
}

// clock is a time of the day with its zone, and with its date when that is not today's.
func clock(t, now time.Time) string {
	if t.Local().Format(time.DateOnly) == now.Local().Format(time.DateOnly) {
		return t.Local().Format(time.TimeOnly + " MST")
	}
	return t.Local().Format(time.DateTime + " MST")
}

// approvals counts those of an approval that needs several.
func approvals(st execution.StageState) string {
	s, err := gate.ParseState(st.State)
	if err != nil || s.Minimum < 2 {
		return ""
	}
	return fmt.Sprintf(": %d of %d approvals", len(s.Approvals), s.Minimum)
}

// outputsNote shows the outputs that people look for.
func outputsNote(st execution.StageState) string {
	var parts []string
	for _, key := range []string{"shortCommit", "url", "deployment", "version"} {
		if v, ok := st.Outputs[key].(string); ok && v != "" && (key != "url" || st.Kind != "git") {
			parts = append(parts, v)
		}
	}
	if n, ok := st.Outputs["uploaded"]; ok {
		parts = append(parts, fmt.Sprintf("%v uploaded, %v unchanged", n, st.Outputs["unchanged"]))
	}
	if steps := unjudged(st); steps != "" {
		parts = append(parts, "▲ "+steps)
	}
	if note, ok := st.Outputs["note"].(string); ok && note != "" {
		parts = append(parts, "▲ "+note)
	}
	return strings.Join(parts, "  ")
}

// unjudged says how many steps of a canary went on without a verdict.
func unjudged(st execution.StageState) string {
	steps, _ := st.Outputs["withoutVerdict"].(string)
	return steps
}

// lacking says, region by region, what the steps of a canary lacked for a verdict.
func lacking(st execution.StageState) []string {
	regions, _ := st.Outputs["unjudged"].(map[string]any)
	var lines []string
	for _, region := range slices.Sorted(maps.Keys(regions)) {
		lines = append(lines, fmt.Sprintf("without a verdict in %s: %v", region, regions[region]))
	}
	return lines
}

// failures tells of every failed stage: cause, evidence, what was undone, what to do.
func (a *app) failures(e execution.Execution) []string {
	var lines []string
	for _, st := range e.Stages {
		if st.Failure != nil && st.Status.Complete() && st.Status != execution.Succeeded {
			lines = append(lines, failureText(e, st.Name, *st.Failure)...)
		}
	}
	return lines
}

func failureText(e execution.Execution, name string, f stage.Failure) []string {
	lines := []string{fmt.Sprintf("error[%s]: %s: %s", clean(f.Code), clean(name), clean(f.Cause))}
	for _, ev := range f.Evidence {
		lines = append(lines, "   "+clean(ev))
	}
	for _, u := range f.Undone {
		lines = append(lines, " undone: "+clean(u))
	}
	help := fmt.Sprintf("showrunner executions logs %s %s", e.ID, name)
	if f.Help != "" {
		help = f.Help + "   |   " + help
	}
	return append(lines, "   help: "+clean(help))
}

// named is a description that names what a stage puts out, as imported stacks
// do: "BucketURL = http://…".
var named = regexp.MustCompile(`^(\S+) = http\S*$`)

// addresses lists where a succeeded run can be looked at, by the names that its
// pipeline gives them.
func addresses(e execution.Execution) []string {
	descriptions := map[string]string{}
	if e.Definition != nil {
		for _, s := range e.Definition.Stages {
			descriptions[s.Name] = s.Description
		}
	}
	var lines []string
	for _, st := range e.Stages {
		url, ok := st.Outputs["url"].(string)
		if !ok || st.Status != execution.Succeeded || st.Kind != "deploy-site" && st.Kind != "deploy" {
			continue
		}
		label := st.Name
		if m := named.FindStringSubmatch(descriptions[st.Name]); m != nil {
			label = m[1]
		}
		lines = append(lines, label+" = "+url)
	}
	return lines
}

// revisionText is what a run delivers, in one line: commit, message, and the
// author where that is not who started it.
func revisionText(r *execution.Revision, by string) string {
	var parts []string
	if r.Commit != "" {
		parts = append(parts, execution.ShortCommit(r.Commit))
	}
	if r.Message != "" {
		parts = append(parts, strconv.Quote(r.Message))
	}
	if r.Author != "" && r.Author != by {
		parts = append(parts, "by "+r.Author)
	}
	return strings.Join(parts, " ")
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// took is a span for people; nothing when it has not begun.
func took(from, to *time.Time) string {
	if from == nil {
		return ""
	}
	end := time.Now()
	if to != nil {
		end = *to
	}
	return span.Text(end.Sub(*from))
}

func ago(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return span.Rough(time.Since(t)) + " ago"
}
