package pipeline

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// Limits of a pipeline file. They keep the work for a hostile file small; real
// files stay far below them.
const (
	MaxFileSize    = 4 << 20 // bytes
	MaxStages      = 20_000  // in one pipeline
	maxItems       = 1_000   // in a list of mappings: triggers, waves, policies
	maxDepth       = 100     // nesting of the YAML
	maxNodes       = 500_000
	maxDiagnostics = 1_000
)

// Parse reads a pipeline file and checks all of it. Name is what diagnostics
// call the file. The document is nil when there are errors; findings come in
// the order of the file. Buildspecs that stand in the file are checked by what is handed
// in for that. Parse never panics and never reads anything but src (and the time
// zone database).
func Parse(name string, src []byte, buildspec ...BuildspecCheck) (*Document, Diagnostics) {
	var around Surroundings
	if len(buildspec) > 0 {
		around.Buildspec = buildspec[0]
	}
	return ParseFor(around, name, src)
}

// ParseFor is Parse for a control plane with these surroundings: stages that name
// an account or a region that is not there, or a strategy that its cloud cannot
// carry out, are errors.
func ParseFor(around Surroundings, name string, src []byte) (*Document, Diagnostics) {
	d := &decoder{src: newSource(name, ""), tagged: map[*yaml.Node]bool{}, around: around}
	return d.parse(name, src)
}

// ParseChaos is Parse for a reader of the chaos block alone: application and
// pipelines may be missing, and a file without any of the three is the block itself.
func ParseChaos(name string, src []byte) (*Document, Diagnostics) {
	d := &decoder{src: newSource(name, ""), tagged: map[*yaml.Node]bool{}, chaosAlone: true}
	return d.parse(name, src)
}

func (d *decoder) parse(name string, src []byte) (*Document, Diagnostics) {
	if len(src) > MaxFileSize {
		d.add(Diagnostic{Code: CodeTooLarge, Message: fmt.Sprintf("the file is larger than %d bytes, which no pipeline file is", MaxFileSize)})
		return nil, d.result()
	}
	d.src = newSource(name, string(bytes.TrimPrefix(src, []byte("\ufeff"))))
	if !d.readable() || d.crowded() {
		return nil, d.result()
	}
	root := d.load()
	if root == nil {
		return nil, d.result()
	}
	doc := d.document(root)
	ds := d.result()
	if ds.HasErrors() {
		return nil, ds
	}
	return doc, ds
}

// Limits that are checked before the YAML is read, since reading what exceeds
// them takes long: no file that people wrote comes near.
const (
	maxLines   = 100_000
	maxMarks   = 200_000 // ":" and "," each
	maxAnchors = 10_000  // "&" and "*" each
)

// crowded refuses a file with more lines, anchors or aliases than any real one.
func (d *decoder) crowded() bool {
	for _, c := range []struct {
		what  string
		limit int
	}{{"\n", maxLines}, {":", maxMarks}, {",", maxMarks}, {"&", maxAnchors}, {"*", maxAnchors}} {
		if n := strings.Count(d.src.text, c.what); n > c.limit {
			name := map[string]string{"\n": "lines", ":": "colons", ",": "commas", "&": "ampersands", "*": "asterisks"}[c.what]
			d.add(Diagnostic{Code: CodeTooMany, Message: fmt.Sprintf("the file has %d %s; at most %d are read", n, name, c.limit)})
			return true
		}
	}
	return false
}

// readable refuses bytes that are no text, at their position.
func (d *decoder) readable() bool {
	text := d.src.text
	if i := strings.IndexByte(text, 0); i >= 0 {
		d.addAt(i, Diagnostic{Code: CodeEncoding, Message: "a NUL byte; a pipeline file is UTF-8 text"})
		return false
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && !strings.ContainsRune("\t\n\r", r) || r == 0x7f }); i >= 0 {
		d.addAt(i, Diagnostic{Code: CodeEncoding, Message: fmt.Sprintf("the control character U+%04X cannot stand in YAML", text[i]), Help: `in double quotes it is written \x` + fmt.Sprintf("%02x", text[i])})
		return false
	}
	if !utf8.ValidString(text) {
		for i, r := range text {
			if r != utf8.RuneError {
				continue
			}
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				d.addAt(i, Diagnostic{Code: CodeEncoding, Message: fmt.Sprintf("byte 0x%02x is not UTF-8; save the file as UTF-8", text[i])})
				return false
			}
		}
	}
	return true
}

// load returns the root node of the only document, or nil after a diagnostic.
func (d *decoder) load() *yaml.Node {
	loader, err := yaml.NewLoader(strings.NewReader(d.src.text), yaml.WithV4Defaults(),
		yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthFunc(func(depth int, _ *loaderlimits.DepthContext) error {
			if depth > maxDepth {
				return errTooDeep
			}
			return nil
		}), loaderlimits.AliasNone()))) // aliases are counted where they are followed
	if err != nil {
		d.add(Diagnostic{Code: CodeSyntax, Message: err.Error()})
		return nil
	}
	var first, second yaml.Node
	if err := loadSafely(loader, &first); err != nil && !errors.Is(err, io.EOF) {
		d.syntax(err)
		return nil
	}
	if first.Kind != yaml.DocumentNode || len(first.Content) == 0 || isNull(first.Content[0]) {
		d.add(Diagnostic{Code: CodeEmpty, Message: "the file is empty", Help: "start with `application: NAME` and `pipelines:`"})
		return nil
	}
	switch err := loadSafely(loader, &second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		d.syntax(err)
		return nil
	case second.Kind == yaml.DocumentNode && len(second.Content) > 0 && !isNull(second.Content[0]):
		d.report(second.Content[0], CodeManyDocuments, "a second YAML document; a pipeline file holds one")
		return nil
	}
	return first.Content[0]
}

var errTooDeep = fmt.Errorf("nested more than %d levels deep", maxDepth)

// loadSafely turns a panic of the YAML library into an error: a file must never
// end the process that validates it.
func loadSafely(loader *yaml.Loader, n *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("not readable as YAML: %v", r)
		}
	}()
	return loader.Load(n)
}

func (d *decoder) syntax(err error) {
	diag := Syntax(d.src.text, err)
	if errors.Is(err, errTooDeep) || strings.Contains(err.Error(), errTooDeep.Error()) {
		diag.Code, diag.Message, diag.Help = CodeTooDeep, errTooDeep.Error(), ""
	}
	d.add(diag)
}

// add records a finding at its position.
func (d *decoder) add(diag Diagnostic) {
	if diag.Severity == "" {
		diag.Severity = SeverityError
	}
	diag.Length = max(1, diag.Length)
	if len(d.diags) < maxDiagnostics {
		d.src.fill(&diag)
		d.diags = append(d.diags, diag)
	} else {
		d.dropped++
	}
}

func (d *decoder) addAt(offset int, diag Diagnostic) {
	diag.Position = d.src.position(offset)
	d.add(diag)
}

// report records an error on a node.
func (d *decoder) report(n *yaml.Node, code, format string, args ...any) {
	d.reportWith(n, Diagnostic{Code: code, Message: fmt.Sprintf(format, args...)})
}

// reportWith records a finding on a node: its position and length are filled in.
func (d *decoder) reportWith(n *yaml.Node, diag Diagnostic) {
	if n != nil {
		diag.Position = Position{Line: n.Line, Column: n.Column}
		if diag.Length == 0 {
			diag.Length = nodeLength(n)
		}
	}
	d.add(diag)
}

// warn records a warning on a node.
func (d *decoder) warn(n *yaml.Node, code, format string, args ...any) {
	d.reportWith(n, Diagnostic{Severity: SeverityWarning, Code: code, Message: fmt.Sprintf(format, args...)})
}

// nodeLength is how many characters of the node's first line it covers, about.
func nodeLength(n *yaml.Node) int {
	switch n.Kind {
	case yaml.ScalarNode:
		if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
			return 1
		}
		length := utf8.RuneCountInString(firstLine(n.Value))
		if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
			length += 2
		}
		return length
	case yaml.AliasNode:
		return utf8.RuneCountInString(n.Value) + 1
	}
	return 1
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// result returns the findings in the order of the file.
func (d *decoder) result() Diagnostics {
	ds := d.diags
	slices.SortStableFunc(ds, func(a, b Diagnostic) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if d.dropped > 0 {
		ds = append(ds, Diagnostic{Severity: SeverityError, Code: CodeTooMany, File: d.src.name,
			Message: fmt.Sprintf("and %d more findings", d.dropped)})
	}
	return ds
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }
