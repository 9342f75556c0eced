package pipeline

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// maxSourceLine is how many characters of a source line a diagnostic shows.
const maxSourceLine = 160

// source is the text of a file with an index of its lines.
type source struct {
	name  string
	text  string
	lines []int // byte offset at which each line starts
}

func newSource(name, text string) *source {
	s := &source{name: name, text: text, lines: []int{0}}
	for i := 0; i < len(text); i++ {
		if text[i] == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	return s
}

// line returns line n (from 1) without its end; "" when there is none.
func (s *source) line(n int) string {
	if n < 1 || n > len(s.lines) {
		return ""
	}
	end := len(s.text)
	if n < len(s.lines) {
		end = s.lines[n] - 1
	}
	return strings.TrimSuffix(s.text[s.lines[n-1]:end], "\r")
}

// offset returns the byte offset of a position, clamped into the text.
func (s *source) offset(p Position) int {
	if p.Line < 1 {
		return 0
	}
	if p.Line > len(s.lines) {
		return len(s.text)
	}
	at := s.lines[p.Line-1]
	for col := 1; col < p.Column && at < len(s.text) && s.text[at] != '\n'; col++ {
		_, size := utf8.DecodeRuneInString(s.text[at:])
		at += size
	}
	return at
}

// position returns the line and column of a byte offset.
func (s *source) position(offset int) Position {
	lo, hi := 0, len(s.lines)
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; s.lines[mid] <= offset {
			lo = mid
		} else {
			hi = mid
		}
	}
	return Position{Line: lo + 1, Column: utf8.RuneCountInString(s.text[s.lines[lo]:min(offset, len(s.text))]) + 1}
}

// fill sets the file and the source lines of a diagnostic from its position.
func (s *source) fill(d *Diagnostic) {
	d.File = s.name
	if d.Line < 1 {
		return
	}
	line := s.line(d.Line)
	d.Source, d.SourceColumn = window(line, d.Column)
	left := utf8.RuneCountInString(d.Source) - d.SourceColumn + 1
	d.Length = max(1, min(d.Length, left))
	if before := s.line(d.Line - 1); d.Line > 1 && strings.TrimSpace(before) != "" {
		d.Before, _ = window(before, 1)
	}
}

// window cuts a long line around a column and returns the column within the cut.
func window(line string, column int) (string, int) {
	if len(line) <= maxSourceLine {
		return line, column
	}
	runes := 0
	start := 0
	from := max(1, column-maxSourceLine/2)
	for start < len(line) && runes < from-1 {
		_, size := utf8.DecodeRuneInString(line[start:])
		start += size
		runes++
	}
	end := start
	for n := 0; end < len(line) && n < maxSourceLine; n++ {
		_, size := utf8.DecodeRuneInString(line[end:])
		end += size
	}
	return line[start:end], column - runes
}

// printable keeps a line of a hostile file from steering the terminal.
func printable(line string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, line)
}

// caret returns the padding in front of the carets, tabs kept so that they
// line up, and the carets, as wide as the characters they stand under.
func caret(line string, column, length int) (pad, carets string) {
	var p, c strings.Builder
	n := 1
	for _, r := range printable(line) {
		switch {
		case n >= column+length:
			return p.String(), c.String()
		case n >= column:
			c.WriteString(strings.Repeat("^", max(1, runewidth.RuneWidth(r))))
		case r == '\t':
			p.WriteByte('\t')
		default:
			p.WriteString(strings.Repeat(" ", runewidth.RuneWidth(r)))
		}
		n++
	}
	if c.Len() == 0 {
		c.WriteByte('^')
	}
	return p.String(), c.String()
}
