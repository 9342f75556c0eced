package pipeline

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"showrunner/problem"
)

// Severity says whether a diagnostic refuses the file.
type Severity string

const (
	// SeverityError refuses the file.
	SeverityError Severity = "error"
	// SeverityWarning points at what is probably not meant.
	SeverityWarning Severity = "warning"
)

// Codes of diagnostics. `showrunner explain CODE` knows each.
const (
	CodeUnreadable       = "UNREADABLE"
	CodeSyntax           = "SYNTAX"
	CodeTooLarge         = "TOO_LARGE"
	CodeTooDeep          = "TOO_DEEP"
	CodeTooMany          = "TOO_MANY"
	CodeEncoding         = "ENCODING"
	CodeEmpty            = "EMPTY"
	CodeManyDocuments    = "MANY_DOCUMENTS"
	CodeAlias            = "ALIAS"
	CodeUnknownField     = "UNKNOWN_FIELD"
	CodeDuplicateKey     = "DUPLICATE_KEY"
	CodeType             = "TYPE"
	CodeValue            = "VALUE"
	CodeRequired         = "REQUIRED"
	CodeName             = "NAME"
	CodeOneOf            = "ONE_OF"
	CodeConflict         = "CONFLICT"
	CodeNoKind           = "NO_KIND"
	CodeTwoKinds         = "TWO_KINDS"
	CodeUnknownStage     = "UNKNOWN_STAGE"
	CodeNotUpstream      = "NOT_UPSTREAM"
	CodeCycle            = "CYCLE"
	CodeUnknownArtifact  = "UNKNOWN_ARTIFACT"
	CodeAmbiguous        = "AMBIGUOUS_ARTIFACT"
	CodeUnknownParameter = "UNKNOWN_PARAMETER"
	CodeUnknownPipeline  = "UNKNOWN_PIPELINE"
	CodeExpression       = "EXPRESSION"
	CodeUnknownOutput    = "UNKNOWN_OUTPUT"
	CodeSecret           = "SECRET"
)

// Position is a place in a source file, counted from 1; columns count characters.
type Position struct {
	Line   int `json:"line"`
	Column int `json:"column"`
}

// Diagnostic is one finding about a pipeline file.
type Diagnostic struct {
	Severity Severity `json:"severity"`
	Code     string   `json:"code"`
	File     string   `json:"file"`
	Position
	Length     int    `json:"length"` // characters under the caret, at least 1
	Message    string `json:"message"`
	Suggestion string `json:"suggestion,omitempty"` // what was probably meant
	Help       string `json:"help,omitempty"`       // what to do
	Source     string `json:"source,omitempty"`     // the line itself, cut when very long
	Before     string `json:"before,omitempty"`     // the line above
	// SourceColumn is the column within Source, which may be cut at its start; the caret stands there.
	SourceColumn int `json:"sourceColumn,omitempty"`
}

// Diagnostics are findings in the order of the file.
type Diagnostics []Diagnostic

// HasErrors tells whether any finding refuses the file.
func (ds Diagnostics) HasErrors() bool {
	return slices.ContainsFunc(ds, func(d Diagnostic) bool { return d.Severity == SeverityError })
}

// Count returns the number of findings of a severity.
func (ds Diagnostics) Count(s Severity) int {
	n := 0
	for _, d := range ds {
		if d.Severity == s {
			n++
		}
	}
	return n
}

// Err returns nil when nothing refuses the file, else a problem.Invalid whose
// message is the first error and how many more there are.
func (ds Diagnostics) Err() error {
	var first *Diagnostic
	for i := range ds {
		if ds[i].Severity == SeverityError {
			first = &ds[i]
			break
		}
	}
	if first == nil {
		return nil
	}
	message := first.summary()
	if n := ds.Count(SeverityError); n > 1 {
		message += fmt.Sprintf(" (and %d more)", n-1)
	}
	return problem.New(problem.Invalid, "pipeline.parse", "%s", message).WithHelp("showrunner validate shows all of them")
}

// summary is the one-line form.
func (d Diagnostic) summary() string {
	where := d.File
	if d.Line > 0 {
		where = fmt.Sprintf("%s:%d:%d", d.File, d.Line, d.Column)
	}
	return fmt.Sprintf("%s[%s]: %s: %s", d.Severity, d.Code, where, d.Message)
}

// WriteText writes the findings for people, with the source line and a caret
// under each, and a last line that counts them. It writes nothing for none.
func (ds Diagnostics) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, d := range ds {
		d.text(&b)
	}
	if len(ds) > 0 {
		b.WriteString(ds.tally())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (ds Diagnostics) tally() string {
	var parts []string
	for _, s := range []Severity{SeverityError, SeverityWarning} {
		if n := ds.Count(s); n == 1 {
			parts = append(parts, fmt.Sprintf("1 %s", s))
		} else if n > 1 {
			parts = append(parts, fmt.Sprintf("%d %ss", n, s))
		}
	}
	return fmt.Sprintf("%s in %s. Schema: showrunner schema\n", strings.Join(parts, ", "), ds[0].File)
}

// String is the form of WriteText.
func (ds Diagnostics) String() string {
	var b strings.Builder
	_ = ds.WriteText(&b) // a strings.Builder does not fail
	return b.String()
}

// JSON returns the findings as a JSON array, [] for none.
func (ds Diagnostics) JSON() []byte {
	if ds == nil {
		ds = Diagnostics{}
	}
	out, err := json.MarshalIndent(ds, "", "  ")
	if err != nil {
		panic(err) // strings and integers always marshal
	}
	return out
}

func (d Diagnostic) text(b *strings.Builder) {
	b.WriteString(d.summary())
	b.WriteByte('\n')
	note := d.note()
	if d.Source == "" {
		if note != "" {
			fmt.Fprintf(b, "    = %s\n", note)
		}
		return
	}
	gutter := len(fmt.Sprint(d.Line))
	if d.Before != "" {
		fmt.Fprintf(b, " %*d | %s\n", gutter, d.Line-1, printable(d.Before))
	}
	fmt.Fprintf(b, " %*d | %s\n", gutter, d.Line, printable(d.Source))
	pad, carets := caret(d.Source, d.SourceColumn, d.Length)
	fmt.Fprintf(b, " %*s | %s%s", gutter, "", pad, carets)
	if note != "" {
		b.WriteString(" " + note)
	}
	b.WriteByte('\n')
}

// Underlined is the line of the finding with carets below what is meant, without a line
// number; empty where there is no line.
func (d Diagnostic) Underlined() string {
	if d.Source == "" {
		return ""
	}
	pad, carets := caret(d.Source, d.SourceColumn, d.Length)
	return printable(d.Source) + "\n" + pad + carets
}

func (d Diagnostic) note() string {
	var parts []string
	if d.Suggestion != "" {
		parts = append(parts, fmt.Sprintf("did you mean %q?", d.Suggestion))
	}
	if d.Help != "" {
		parts = append(parts, d.Help)
	}
	return strings.Join(parts, " ")
}
