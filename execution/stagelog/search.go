package stagelog

import (
	"bytes"
	"strings"
)

// maxLine bounds what is kept of one line, in bytes: what stands behind it is
// counted as part of the line and not searched.
const maxLine = 16 << 10

// Match is one line that holds what was looked for.
type Match struct {
	Line   int64  `json:"line" doc:"its number, the first is 1"`
	Offset int64  `json:"offset" doc:"where it begins, in bytes: the log can be read from there"`
	Text   string `json:"text" doc:"the line without escape sequences, its first 16 KiB"`
}

// Search reads a log that is written to it and keeps the lines that hold a text,
// whatever their case. It needs memory for one line and the matches kept,
// however long the log is.
type Search struct {
	// Total counts every match, kept or not.
	Total int
	// Matches are those kept, in the order of the log.
	Matches []Match

	text        string
	skip, limit int
	line        []byte
	number      int64 // of the line that is being read
	begin, at   int64
}

// NewSearch looks for text, leaves out the first skip matches and keeps at most limit.
func NewSearch(text string, skip, limit int) *Search {
	return &Search{text: strings.ToLower(text), skip: skip, limit: limit, number: 1}
}

// Write implements io.Writer; it never fails.
func (s *Search) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := bytes.IndexByte(rest, '\n')
		end := n
		if n < 0 {
			end = len(rest)
		}
		s.line = append(s.line, rest[:min(end, max(0, maxLine-len(s.line)))]...)
		if n < 0 {
			s.at += int64(end)
			break
		}
		s.at += int64(n) + 1
		s.End()
		rest = rest[n+1:]
	}
	return len(p), nil
}

// End looks at the line that has begun; after the log's end it is called once
// more, for a last line without its end.
func (s *Search) End() {
	if text := plain(s.line); strings.Contains(strings.ToLower(text), s.text) && s.at > s.begin {
		if s.Total++; s.Total > s.skip && len(s.Matches) < s.limit {
			s.Matches = append(s.Matches, Match{Line: s.number, Offset: s.begin, Text: text})
		}
	}
	s.line, s.begin = s.line[:0], s.at
	s.number++
}

// plain is a line as people read it: without escape sequences (ECMA-48) and
// carriage returns; what a carriage return overwrote stands before what came after.
func plain(line []byte) string {
	var b strings.Builder
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == 0x1b && i+1 < len(line) && line[i+1] == '[':
			for i += 2; i < len(line) && (line[i] < 0x40 || line[i] > 0x7e); i++ {
			}
		case c == 0x1b && i+1 < len(line) && line[i+1] == ']':
			for i += 2; i < len(line) && line[i] != 0x07 && !(line[i] == 0x1b && i+1 < len(line) && line[i+1] == '\\'); i++ {
			}
			if i < len(line) && line[i] == 0x1b {
				i++
			}
		case c == 0x1b:
			i++
		case c == '\r':
			if i+1 < len(line) {
				b.WriteByte(' ')
			}
		default:
			b.WriteByte(c)
		}
	}
	return strings.ToValidUTF8(b.String(), "�")
}
