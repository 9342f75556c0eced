package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"go.yaml.in/yaml/v4"

	"showrunner/build/buildspec"
	"showrunner/pipeline"
	"showrunner/problem"
)

// print writes a result to stdout in the form asked for: v as JSON or YAML, or
// the table, or names (a line each).
func (a *app) print(v any, names func() []string, table func(w io.Writer)) error {
	switch a.output {
	case "json":
		enc := json.NewEncoder(a.Out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	case "yaml":
		// Through JSON, so that both forms have the same keys.
		raw, err := json.Marshal(v)
		if err != nil {
			return err
		}
		var plain any
		if err := json.Unmarshal(raw, &plain); err != nil {
			return err
		}
		out, err := yaml.Marshal(plain)
		if err != nil {
			return err
		}
		_, err = a.Out.Write(out)
		return err
	case "name":
		for _, n := range names() {
			fmt.Fprintln(a.Out, n)
		}
		return nil
	}
	w := tabwriter.NewWriter(a.Out, 0, 4, 2, ' ', 0)
	table(w)
	return w.Flush()
}

// row writes one line of a table; control characters from outside are dropped.
func row(w io.Writer, cells ...any) {
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(w, "\t")
		}
		fmt.Fprint(w, clean(fmt.Sprint(c)))
	}
	fmt.Fprintln(w)
}

// columns are the cells of a row; those of the second call are for -o wide alone.
func (a *app) columns(cells ...any) func(wide ...any) []any {
	return func(wide ...any) []any {
		if a.output == "wide" {
			return append(cells, wide...)
		}
		return cells
	}
}

// clean makes text from outside safe for a terminal: no escapes, one line.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < 0x20 || r == 0x7f || (r >= 0x80 && r < 0xa0):
			return -1
		}
		return r
	}, s)
}

// say writes a line of information to stderr, unless quiet was asked for.
func (a *app) say(format string, args ...any) {
	if a.progress != "none" && a.progress != "errors-only" {
		fmt.Fprintf(a.Err, format+"\n", args...)
	}
}

// findingsError is a document that cannot be used, with everything that is wrong
// with it.
type findingsError struct{ findings pipeline.Diagnostics }

func (e *findingsError) Error() string { return e.findings.Err().Error() }

// Unwrap lets problem.Of find the code.
func (e *findingsError) Unwrap() error { return e.findings.Err() }

// printError writes the error as the last thing a person sees, or as JSON.
func (a *app) printError(err error) {
	var exit exitError
	if errors.As(err, &exit) {
		return
	}
	code, help := "usage", problem.HelpOf(err)
	if e, ok := problem.Of(err); ok {
		code = string(e.Code)
	}
	var found *findingsError
	if errors.As(err, &found) && a.output != "json" {
		fmt.Fprint(a.Err, found.findings.Text())
		return
	}
	if a.output == "json" {
		details := map[string]any{"code": code, "message": problem.Text(err), "help": help}
		var spec *buildspec.Error
		if errors.As(err, &spec) {
			details["diagnostics"] = spec.Findings
		}
		if found != nil {
			details["diagnostics"] = found.findings
		}
		_ = json.NewEncoder(a.Err).Encode(map[string]any{"error": details})
		return
	}
	fmt.Fprintf(a.Err, "error[%s]: %s\n", strings.ToUpper(code), problem.Text(err))
	if help != "" {
		fmt.Fprintf(a.Err, "  help: %s\n", help)
	}
}
