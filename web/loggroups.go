package web

import (
	"bytes"
	"fmt"
	"html/template"
	"strings"
	"time"

	terminal "github.com/buildkite/terminal-to-html/v3"

	"showrunner/execution/stagelog"
)

// partLines is how many lines of a log the browser lays out at once, when they come
// into sight.
const partLines = 500

// logStretchOf is a stretch of a log, and what is known of where it stands.
type logStretchOf struct {
	Text  []byte
	Line  int    // number of the first line; 0: not known
	From  int64  // offset of the first byte
	Group string // that is open where the stretch begins; "": none
	// Fold says that groups that have ended are folded.
	Fold bool
	// Times are when the stretch was written; nil: lines are shown without times.
	Times []stagelog.Written
}

// rendered is a stretch of a log as HTML.
type rendered struct {
	HTML  template.HTML
	Line  int    // number of the line after the last
	Group string // that is open at the end
}

// groupBegin finds the name of a group that a line begins: "::group::NAME" or
// "##[group]NAME", as GitHub Actions and Azure Pipelines have them.
func groupBegin(line string) (name string, begins bool) {
	for _, mark := range []string{"::group::", "##[group]"} {
		if name, begins = strings.CutPrefix(line, mark); begins {
			if name = strings.TrimSpace(name); name == "" {
				name = "group"
			}
			return name, true
		}
	}
	return "", false
}

func groupEnd(line string) bool {
	return strings.HasPrefix(line, "::endgroup::") || strings.HasPrefix(line, "##[endgroup]")
}

// renderLog is a stretch of a log as HTML, in parts and groups. Each line has an
// address, #L7, when the number of the first one is known; a line without an end has its
// number again where it goes on. A group that is open at the end goes on in the next
// stretch.
func renderLog(s logStretchOf) rendered {
	if len(s.Text) == 0 {
		return rendered{"", s.Line, s.Group}
	}
	// The renderer counts a last line break as the beginning of an empty line.
	lines := strings.Split(terminal.Render(bytes.TrimSuffix(s.Text, []byte("\n"))), "\n")
	w := logWriter{stretch: s, stamps: stampsOf(s)}
	if s.Group != "" {
		w.open(s.Group, true, "")
	}
	ends := w.ends(lines)
	for i, line := range lines {
		number := ""
		if s.Line > 0 {
			number = fmt.Sprintf(`<span class="ln" id="L%d" data-n="%d"></span>`, s.Line+i, s.Line+i)
		}
		number += w.stamp(i)
		name, begins := groupBegin(line)
		switch {
		case begins:
			w.close()
			w.group = name
			w.open(name, !s.Fold || !ends[i], number)
		case groupEnd(line) && w.group != "":
			w.line(number + `<span class="mark">` + line + "</span>\n")
			w.close()
			w.group = ""
		default:
			w.line(number + line + "\n")
		}
	}
	open := w.group
	w.close()
	out := rendered{template.HTML(w.b.String()), s.Line, open} //nolint:gosec // the renderer escapes
	if s.Line > 0 {
		out.Line += bytes.Count(s.Text, []byte("\n"))
	}
	return out
}

// logWriter writes parts and groups.
type logWriter struct {
	b       strings.Builder
	stretch logStretchOf
	stamps  []string
	group   string // that is open
	inGroup bool   // its element is open
	inPart  bool
	count   int // lines of the part
}

// ends says of the lines at which a group begins whether the group has ended by a line
// of its own or by the next group: one that goes on is not folded.
func (w *logWriter) ends(lines []string) map[int]bool {
	ends, begun := map[int]bool{}, -1
	for i, line := range lines {
		_, begins := groupBegin(line)
		if (begins || groupEnd(line)) && begun >= 0 {
			ends[begun], begun = true, -1
		}
		if begins {
			begun = i
		}
	}
	return ends
}

// open begins the element of a group; name is escaped.
func (w *logWriter) open(name string, open bool, number string) {
	w.endPart()
	attributes := ""
	if number == "" && w.group == "" {
		w.group, attributes = name, " data-continues"
	}
	if open {
		attributes += " open"
	}
	fmt.Fprintf(&w.b, `<details class="group"%s><summary>%s<strong>%s</strong></summary>`, attributes, number, name)
	w.inGroup = true
}

// close ends the element of a group and the part before it.
func (w *logWriter) close() {
	w.endPart()
	if w.inGroup {
		w.b.WriteString("</details>")
	}
	w.inGroup = false
}

func (w *logWriter) line(html string) {
	if w.inPart && w.count == partLines {
		w.endPart()
	}
	if !w.inPart {
		w.b.WriteString(`<div class="part">`)
		w.inPart, w.count = true, 0
	}
	w.b.WriteString(html)
	w.count++
}

func (w *logWriter) endPart() {
	if w.inPart {
		w.b.WriteString("</div>")
	}
	w.inPart = false
}

// stampsOf are the times of a stretch's lines; nil without any.
func stampsOf(s logStretchOf) (stamps []string) {
	if s.Times == nil {
		return nil
	}
	at, k := s.From, 0
	for line := range bytes.Lines(s.Text) {
		for k+1 < len(s.Times) && s.Times[k+1].Offset <= at {
			k++
		}
		text := ""
		if k < len(s.Times) && s.Times[k].Offset <= at {
			text = s.Times[k].At.UTC().Format(time.RFC3339Nano)
		}
		stamps = append(stamps, text)
		at += int64(len(line))
	}
	return stamps
}

// stamp is the time of a line as an element; the browser may show it in its own zone.
func (w *logWriter) stamp(i int) string {
	if w.stamps == nil {
		return ""
	}
	if i >= len(w.stamps) || w.stamps[i] == "" {
		return `<span class="ts">–</span>`
	}
	iso := w.stamps[i]
	at, _ := time.Parse(time.RFC3339Nano, iso) // it was written by Format
	return `<span class="ts" data-at="` + iso + `">` + at.Format("15:04:05.000") + `</span>`
}
