package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// MinMasked is the length in bytes from which a value is masked. Shorter values
// occur in ordinary text: masking them would make the log unreadable, and the
// masked places would reveal the value.
const MinMasked = 4

// minEncoded is the minimum length for the middle part of a base64 text, which is
// less specific than the value itself.
const minEncoded = 6

// mask stands for one run of masked bytes, whatever its length.
var mask = []byte("***")

// Masker is a writer that replaces secret values, even where a value spans
// several writes. It holds back only text that may be the beginning of a value,
// so a live log stays live; Flush writes the held text at the end. Safe for
// concurrent use.
type Masker struct {
	mu      sync.Mutex
	w       io.Writer
	forms   [256][]string // by first byte
	known   map[string]bool
	held    []byte
	covered int // how many bytes at the head of held belong to a match already masked
	masking bool
}

// NewMasker returns a Masker that writes masked text to w.
func NewMasker(w io.Writer, values ...string) *Masker {
	m := &Masker{w: w, known: map[string]bool{}}
	m.Add(values...)
	return m
}

// Add masks values in everything written from now on, in each of their Forms.
func (m *Masker) Add(values ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range values {
		if v == "" || m.known[v] {
			continue
		}
		m.known[v] = true
		for _, form := range Forms(v) {
			list := m.forms[form[0]]
			if !slices.Contains(list, form) {
				m.forms[form[0]] = append(list, form)
			}
		}
	}
}

// Write masks p. It returns len(p) even for bytes that it holds back; an error is
// the underlying writer's.
func (m *Masker) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.pass(p, false); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush writes the held text. Call it at the end of a log: a value that continues
// after a Flush is not recognised.
func (m *Masker) Flush() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pass(nil, true)
}

// Close is Flush; the underlying writer stays open.
func (m *Masker) Close() error { return m.Flush() }

// pass writes the masked form of held+p, except for a tail that may be the
// beginning of a value. Overlapping matches are masked as one run, so that two
// values that share bytes do not reveal each other.
func (m *Masker) pass(p []byte, final bool) error {
	data := p
	if len(m.held) > 0 {
		data = append(m.held, p...)
	}
	var out bytes.Buffer
	i := 0
	for ; i < len(data); i++ {
		length, undecided := m.match(data[i:])
		if undecided && !final {
			break
		}
		m.covered = max(m.covered, i+length)
		switch {
		case i >= m.covered:
			out.WriteByte(data[i])
			m.masking = false
		case !m.masking:
			out.Write(mask)
			m.masking = true
		}
	}
	m.covered = max(0, m.covered-i)
	m.held = append([]byte(nil), data[i:]...)
	if out.Len() == 0 {
		return nil
	}
	_, err := m.w.Write(out.Bytes())
	return err
}

// match returns the length of the longest form at the start of data, and whether
// more data may complete a longer form.
func (m *Masker) match(data []byte) (length int, undecided bool) {
	for _, form := range m.forms[data[0]] {
		switch {
		case len(form) <= len(data):
			if len(form) > length && string(data[:len(form)]) == form {
				length = len(form)
			}
		case form[:len(data)] == string(data):
			undecided = true
		}
	}
	return length, undecided
}

// Mask returns text with the values replaced.
func Mask(text string, values ...string) string {
	var out strings.Builder
	m := NewMasker(&out, values...)
	io.WriteString(m, text) //nolint:errcheck // a Builder does not fail
	m.Flush()               //nolint:errcheck
	return out.String()
}

// Forms lists how a value may appear in text: itself, its lines, and the
// encodings that programs commonly print (URL, JSON, hexadecimal, and base64
// at each of the three offsets, so that "user:value" in a Basic header is found
// too). Forms shorter than MinMasked are left out.
func Forms(value string) []string {
	forms := map[string]bool{}
	add := func(s string, least int) {
		if len(s) >= least {
			forms[s] = true
		}
	}
	whole := strings.TrimRight(value, "\r\n")
	parts := []string{whole}
	if strings.ContainsAny(whole, "\r\n") {
		for line := range strings.FieldsFuncSeq(whole, func(r rune) bool { return r == '\n' || r == '\r' }) {
			parts = append(parts, strings.TrimSpace(line))
		}
		add(strings.ReplaceAll(whole, "\n", "\r\n"), MinMasked)
	}
	for _, part := range parts {
		if len(part) < MinMasked {
			continue
		}
		add(part, MinMasked)
		add(url.QueryEscape(part), MinMasked)
		add(url.PathEscape(part), MinMasked)
		add(hex.EncodeToString([]byte(part)), MinMasked)
		add(strings.ToUpper(hex.EncodeToString([]byte(part))), MinMasked)
		for _, escapeHTML := range []bool{true, false} {
			add(quoted(part, escapeHTML), MinMasked)
		}
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			for offset := range 3 {
				add(core64(enc, part, offset), minEncoded)
			}
		}
	}
	sorted := make([]string, 0, len(forms))
	for f := range forms {
		sorted = append(sorted, f)
	}
	slices.Sort(sorted)
	return sorted
}

// quoted is value as it stands between the quotes of a JSON string.
func quoted(value string, escapeHTML bool) string {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(escapeHTML)
	if err := enc.Encode(value); err != nil {
		return ""
	}
	text := strings.TrimSuffix(out.String(), "\n")
	return text[1 : len(text)-1]
}

// core64 is the part of a base64 text that depends on value alone when offset (0
// to 2) other bytes precede the value in its group of three.
func core64(enc *base64.Encoding, value string, offset int) string {
	encoded := enc.EncodeToString(append(make([]byte, offset), value...))
	from := (offset*8 + 5) / 6
	to := (offset + len(value)) * 8 / 6
	if from >= to {
		return ""
	}
	return encoded[from:to]
}
