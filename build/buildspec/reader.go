package buildspec

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/agext/levenshtein"
	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"showrunner/pipeline"
)

// Limits keep the work for a hostile file small.
const (
	maxSize  = 1 << 20
	maxDepth = 50
	maxNodes = 100_000
	maxFound = 200
)

// parser collects findings; it goes on after an error, so that one pass finds all.
type parser struct {
	found  pipeline.Diagnostics
	visits int
}

func (p *parser) load(text string) *yaml.Node {
	fail := func(code, message string, args ...any) *yaml.Node {
		p.add(nil, pipeline.Diagnostic{Code: code, Message: fmt.Sprintf(message, args...)})
		return nil
	}
	switch {
	case len(text) > maxSize:
		return fail(pipeline.CodeTooLarge, "the file is larger than %d bytes, which no buildspec is", maxSize)
	case strings.ContainsRune(text, 0) || !utf8.ValidString(text):
		i := notText(text)
		before := text[:i]
		p.add(nil, pipeline.Diagnostic{
			Code: pipeline.CodeEncoding, Message: fmt.Sprintf("byte 0x%02x is no text; save the file as UTF-8", text[i]),
			Position: pipeline.Position{Line: 1 + strings.Count(before, "\n"), Column: 1 + utf8.RuneCountInString(before[1+strings.LastIndexByte(before, '\n'):])},
		})
		return nil
	}
	loader, err := yaml.NewLoader(strings.NewReader(text), yaml.WithV4Defaults(),
		yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthFunc(func(depth int, _ *loaderlimits.DepthContext) error {
			if depth > maxDepth {
				return fmt.Errorf("nested more than %d levels deep", maxDepth)
			}
			return nil
		}), loaderlimits.AliasNone())))
	if err != nil {
		return fail(pipeline.CodeSyntax, "%v", err)
	}
	var doc, more yaml.Node
	if err := loadSafely(loader, &doc); err != nil && !errors.Is(err, io.EOF) {
		return p.syntax(text, err)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 || isNull(doc.Content[0]) {
		return fail(pipeline.CodeEmpty, "the buildspec is empty; it needs version and phases")
	}
	switch err := loadSafely(loader, &more); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return p.syntax(text, err)
	case more.Kind == yaml.DocumentNode && len(more.Content) > 0 && !isNull(more.Content[0]):
		p.errorf(more.Content[0], pipeline.CodeManyDocuments, "a second YAML document; a buildspec is one")
		return nil
	}
	return doc.Content[0]
}

// notText is where the first byte stands that is NUL or not UTF-8.
func notText(text string) int {
	for i, r := range text {
		if r == 0 {
			return i
		}
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				return i
			}
		}
	}
	return 0
}

// loadSafely turns a panic of the YAML library into an error.
func loadSafely(loader *yaml.Loader, n *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("not readable as YAML: %v", r)
		}
	}()
	return loader.Load(n)
}

func (p *parser) syntax(text string, err error) *yaml.Node {
	p.add(nil, pipeline.Syntax(text, err))
	return nil
}

// fields hands the value of each key of a mapping to its reader, and reports
// keys that have none, and required ones that are not there. A required key that was
// misspelt is reported once. It returns the keys that misspelt ones probably meant.
func (p *parser) fields(n *yaml.Node, path string, readers map[string]func(*yaml.Node), required ...string) (misspelt []string) {
	where := "a buildspec"
	if path != "" {
		where = path
	}
	seen := map[string]bool{}
	p.each(n, where, func(key, value *yaml.Node) {
		seen[key.Value] = true
		if read, ok := readers[key.Value]; ok {
			read(value)
			return
		}
		if strings.HasPrefix(key.Value, "x-") || strings.HasPrefix(key.Value, ".") {
			return
		}
		known := slices.Sorted(maps.Keys(readers))
		meant := nearest(key.Value, known)
		misspelt = append(misspelt, meant)
		p.add(key, pipeline.Diagnostic{Code: pipeline.CodeUnknownField, Message: fmt.Sprintf("%s has no key %q", where, key.Value),
			Suggestion: meant, Help: "it has " + strings.Join(known, ", ")})
	})
	for _, name := range required {
		if !seen[name] && !slices.Contains(misspelt, name) && (n.Kind == yaml.MappingNode || isNull(n)) {
			if path == "" {
				p.errorf(n, pipeline.CodeRequired, "%s is missing", name)
			} else {
				p.errorf(n, pipeline.CodeRequired, "%s.%s is missing", path, name)
			}
		}
	}
	return misspelt
}

// each visits the entries of a mapping in file order, merge keys applied.
func (p *parser) each(n *yaml.Node, where string, visit func(key, value *yaml.Node)) {
	n = p.follow(n)
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		help := ""
		if n.Kind == yaml.SequenceNode {
			help = "begin each entry with its name and a colon, without a dash"
		}
		p.errorHelp(n, pipeline.CodeType, fmt.Sprintf("%s is a mapping, not %s", where, describe(n)), help)
		return
	}
	seen := map[string]int{}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := p.follow(n.Content[i]), p.follow(n.Content[i+1])
		switch line, twice := seen[key.Value]; {
		case key.Kind != yaml.ScalarNode:
			p.errorf(key, pipeline.CodeType, "a key of %s is not a plain name", where)
		case key.Tag == "!!merge":
			merged = append(merged, value)
		case twice:
			p.errorf(key, pipeline.CodeDuplicateKey, "%q is set twice; the first is on line %d", key.Value, line)
		default:
			seen[key.Value] = key.Line
			visit(key, value)
		}
	}
	for _, m := range merged {
		p.merge(m, where, seen, visit, 0)
	}
}

func (p *parser) merge(n *yaml.Node, where string, seen map[string]int, visit func(key, value *yaml.Node), depth int) {
	if n = p.follow(n); depth > 10 || p.visits > maxNodes {
		return
	}
	switch n.Kind {
	case yaml.SequenceNode:
		for _, item := range n.Content {
			p.merge(item, where, seen, visit, depth+1)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := p.follow(n.Content[i]), p.follow(n.Content[i+1])
			if key.Tag == "!!merge" {
				p.merge(value, where, seen, visit, depth+1)
			} else if _, ok := seen[key.Value]; !ok && key.Kind == yaml.ScalarNode {
				seen[key.Value] = key.Line
				visit(key, value)
			}
		}
	default:
		p.errorf(n, pipeline.CodeType, "<< in %s merges a mapping, not %s", where, describe(n))
	}
}

// items lists a sequence, nested ones flattened (lists reused by an alias come
// nested); a single value stands for a list of one, nothing for none.
func (p *parser) items(n *yaml.Node) []*yaml.Node {
	n = p.follow(n)
	if n.Kind != yaml.SequenceNode {
		if isNull(n) {
			return nil
		}
		return []*yaml.Node{n}
	}
	var list []*yaml.Node
	for _, item := range n.Content {
		if item = p.follow(item); p.visits > maxNodes {
			return list
		}
		if item.Kind == yaml.SequenceNode {
			list = append(list, p.items(item)...)
			continue
		}
		list = append(list, item)
	}
	return list
}

func (p *parser) texts(n *yaml.Node, path string) []string {
	var list []string
	for _, item := range p.items(n) {
		if v, ok := p.scalar(item, "an item of "+path); ok && v != "" {
			list = append(list, v)
		}
	}
	return list
}

// scalar returns a scalar's text as it is written.
func (p *parser) scalar(n *yaml.Node, what string) (string, bool) {
	n = p.follow(n)
	if n.Kind != yaml.ScalarNode {
		p.errorf(n, pipeline.CodeType, "%s is text, not %s", what, describe(n))
		return "", false
	}
	if isNull(n) {
		return "", true
	}
	return n.Value, true
}

func (p *parser) text(n *yaml.Node, what string) string {
	v, _ := p.scalar(n, what)
	return strings.TrimSpace(v)
}

func (p *parser) yes(n *yaml.Node, what string) bool {
	v := p.text(n, what)
	switch strings.ToLower(v) {
	case "yes", "true", "on", "y":
		return true
	case "no", "false", "off", "n", "":
		return false
	}
	p.errorf(n, pipeline.CodeValue, "%s is yes or no, not %q", what, v)
	return false
}

// follow resolves aliases; a file that expands beyond all measure stops here.
func (p *parser) follow(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if p.visits++; p.visits == maxNodes {
		p.errorf(n, pipeline.CodeAlias, "the file expands to more than %d nodes through its aliases", maxNodes)
	}
	if p.visits > maxNodes {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: n.Line, Column: n.Column}
	}
	return n
}

func (p *parser) errorf(n *yaml.Node, code, format string, args ...any) {
	p.add(n, pipeline.Diagnostic{Code: code, Message: fmt.Sprintf(format, args...)})
}

func (p *parser) errorHelp(n *yaml.Node, code, message, help string) {
	p.add(n, pipeline.Diagnostic{Code: code, Message: message, Help: help})
}

func (p *parser) warnf(n *yaml.Node, code, format string, args ...any) {
	p.add(n, pipeline.Diagnostic{Severity: pipeline.SeverityWarning, Code: code, Message: fmt.Sprintf(format, args...)})
}

func (p *parser) add(n *yaml.Node, d pipeline.Diagnostic) {
	if len(p.found) >= maxFound {
		return
	}
	if d.Severity == "" {
		d.Severity = pipeline.SeverityError
	}
	if d.Length = 1; n != nil {
		d.Position = at(n)
		if n.Kind == yaml.ScalarNode && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
			line, _, _ := strings.Cut(n.Value, "\n")
			d.Length = max(1, utf8.RuneCountInString(line))
		}
	}
	p.found = append(p.found, d)
}

func at(n *yaml.Node) pipeline.Position { return pipeline.Position{Line: n.Line, Column: n.Column} }

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// describe names what a node is, for messages.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "nothing"
	}
	line, _, _ := strings.Cut(n.Value, "\n")
	if r := []rune(line); len(r) > 40 {
		line = string(r[:40]) + "…"
	}
	return fmt.Sprintf("the text %q", line)
}

// nearest returns the candidate that was probably meant, or "".
func nearest(s string, candidates []string) string {
	fold := func(s string) string { return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s)) }
	best, least := "", 1+len(s)/3
	for _, c := range candidates {
		if d := levenshtein.Distance(fold(s), fold(c), nil); d <= least && (best == "" || d < least) {
			best, least = c, d
		}
	}
	return best
}
