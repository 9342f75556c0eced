package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// DefaultFormat is the format of a group that names none.
const DefaultFormat = "JUNITXML"

// Kind tells tests from coverage.
type Kind string

const (
	Test     Kind = "TEST"
	Coverage Kind = "CODE_COVERAGE"
)

// Status is what became of a test case.
type Status string

const (
	Succeeded Status = "SUCCEEDED"
	Failed    Status = "FAILED"
	Errored   Status = "ERROR"
	Skipped   Status = "SKIPPED"
	Unknown   Status = "UNKNOWN"
)

// Case is one test case.
type Case struct {
	Suite      string  `json:"suite,omitempty"`
	Name       string  `json:"name"`
	Status     Status  `json:"status"`
	DurationMs float64 `json:"durationMs"`
	Message    string  `json:"message,omitempty"`
}

// Lines counts what tests have executed.
type Lines struct {
	LinesCovered    int64   `json:"linesCovered"`
	LinesTotal      int64   `json:"linesTotal"`
	LinePercent     float64 `json:"linePercent"`
	BranchesCovered int64   `json:"branchesCovered"`
	BranchesTotal   int64   `json:"branchesTotal"`
	BranchPercent   float64 `json:"branchPercent"`
}

// Result is what a file, or the files of a group together, report.
type Result struct {
	Kind       Kind           `json:"kind"`
	Total      int            `json:"total"`
	Counts     map[Status]int `json:"counts,omitempty"`
	DurationMs float64        `json:"durationMs"`
	Cases      []Case         `json:"cases,omitempty"`
	Coverage   *Lines         `json:"coverage,omitempty"`
}

// Failing lists the cases that failed or broke.
func (r Result) Failing() []Case {
	var list []Case
	for _, c := range r.Cases {
		if c.Status == Failed || c.Status == Errored {
			list = append(list, c)
		}
	}
	return list
}

// Merge adds the results of another file of the same group.
func (r *Result) Merge(o Result) {
	r.Kind = o.Kind
	r.Cases = append(r.Cases, o.Cases...)
	if o.Coverage != nil {
		sum := *o.Coverage
		if r.Coverage != nil {
			sum.LinesCovered += r.Coverage.LinesCovered
			sum.LinesTotal += r.Coverage.LinesTotal
			sum.BranchesCovered += r.Coverage.BranchesCovered
			sum.BranchesTotal += r.Coverage.BranchesTotal
		}
		r.Coverage = &sum
	}
	r.sum()
}

func (r *Result) sum() {
	r.Total, r.DurationMs, r.Counts = len(r.Cases), 0, nil
	for _, c := range r.Cases {
		if r.Counts == nil {
			r.Counts = map[Status]int{}
		}
		r.Counts[c.Status]++
		r.DurationMs += c.DurationMs
	}
	if c := r.Coverage; c != nil {
		c.LinePercent = percent(c.LinesCovered, c.LinesTotal)
		c.BranchPercent = percent(c.BranchesCovered, c.BranchesTotal)
	}
}

func percent(part, whole int64) float64 {
	if whole <= 0 {
		return 0
	}
	return float64(part*10_000/whole) / 100
}

// maxFile bounds what is read of one file.
const maxFile = 256 << 20

// format reads one file.
type format struct {
	kind Kind
	read func(io.Reader) ([]Case, *Lines, error)
}

func formats() map[string]format {
	return map[string]format{
		"JUNITXML":        {Test, tests(junit)},
		"NUNITXML":        {Test, tests(nunit)},
		"NUNIT3XML":       {Test, tests(nunit3)},
		"TESTNGXML":       {Test, tests(testNG)},
		"VISUALSTUDIOTRX": {Test, tests(trx)},
		"CUCUMBERJSON":    {Test, tests(cucumber)},
		"CLOVERXML":       {Coverage, coverage(clover)},
		"COBERTURAXML":    {Coverage, coverage(cobertura)},
		"JACOCOXML":       {Coverage, coverage(jacoco)},
		"SIMPLECOV":       {Coverage, coverage(simpleCov)},
	}
}

func tests(read func(io.Reader) ([]Case, error)) func(io.Reader) ([]Case, *Lines, error) {
	return func(r io.Reader) ([]Case, *Lines, error) {
		cases, err := read(r)
		return cases, nil, err
	}
}

func coverage(read func(io.Reader) (Lines, error)) func(io.Reader) ([]Case, *Lines, error) {
	return func(r io.Reader) ([]Case, *Lines, error) {
		lines, err := read(r)
		return nil, &lines, err
	}
}

// Formats lists the names of the formats, sorted.
func Formats() []string {
	var names []string
	for name := range formats() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// KindOf tells whether a format is for tests or for coverage.
func KindOf(name string) Kind { return formats()[strings.ToUpper(name)].kind }

// Parse reads one file in a format; case does not matter in the format's name.
func Parse(name string, r io.Reader) (Result, error) {
	f, ok := formats()[strings.ToUpper(name)]
	if !ok {
		return Result{}, fmt.Errorf("there is no report format %q", name)
	}
	cases, lines, err := f.read(io.LimitReader(r, maxFile))
	if err != nil {
		return Result{}, fmt.Errorf("not a report in the format %s: %w", strings.ToUpper(name), err)
	}
	result := Result{Kind: f.kind, Cases: cases, Coverage: lines}
	result.sum()
	return result, nil
}

// maxMessage is how much of a failure's message is kept.
const maxMessage = 4 << 10

func shorten(s string) string {
	s = strings.TrimSpace(s)
	if len(s) <= maxMessage {
		return s
	}
	return strings.ToValidUTF8(s[:maxMessage], "") + "…"
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
