package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestMask(t *testing.T) {
	const pem = "-----BEGIN KEY-----\nabcdefghij\nklmnopqrst\n-----END KEY-----\n"
	tests := map[string]struct {
		values []string
		text   string
		want   string
	}{
		"nothing to mask":         {nil, "plain", "plain"},
		"in the middle":           {[]string{"hunter2"}, "a hunter2 b", "a *** b"},
		"at both ends":            {[]string{"hunter2"}, "hunter2 hunter2", "*** ***"},
		"twice in a row":          {[]string{"hunter2"}, "hunter2hunter2", "***"},
		"a prefix is let go":      {[]string{"hunter2"}, "hunter", "hunter"},
		"short values stay":       {[]string{"abc"}, "abc", "abc"},
		"four bytes are enough":   {[]string{"abcd"}, "xabcdx", "x***x"},
		"one within another":      {[]string{"pass", "password1"}, "password1", "***"},
		"overlapping":             {[]string{"abcdef", "efghij"}, "-abcdefghij-", "-***-"},
		"one line of several":     {[]string{pem}, "got klmnopqrst!", "got ***!"},
		"with the last line feed": {[]string{"hunter2\n"}, "[hunter2]", "[***]"},
		"carriage returns":        {[]string{"line one\nline two"}, "line one\r\nline two", "***"},
		"URL-encoded":             {[]string{"p@ss/w rd"}, "?q=p%40ss%2Fw+rd", "?q=***"},
		"JSON":                    {[]string{"pa\"ss<\t"}, `{"x":"pa\"ss\u003c\t"}`, `{"x":"***"}`},
		"hexadecimal":             {[]string{"hunter2"}, hex.EncodeToString([]byte("hunter2")), "***"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := Mask(tt.text, tt.values...)
			if got != tt.want {
				t.Errorf("Mask(%q) = %q, want %q", tt.text, got, tt.want)
			}
		})
	}
}

// A live log must not be held back unless the text can be part of a value.
func TestMaskerHoldsBackOnlyWhatMayBeAValue(t *testing.T) {
	var out bytes.Buffer
	m := NewMasker(&out, "hunter2")
	write := func(s string) {
		t.Helper()
		if n, err := m.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatalf("Write(%q) = %d, %v", s, n, err)
		}
	}
	for _, step := range []struct{ write, seen string }{
		{"one line\n", "one line\n"},
		{"hun", "one line\n"},
		{"ger ", "one line\nhunger "},
		{"hunter", "one line\nhunger "},
		{"2", "one line\nhunger ***"},
		{"2", "one line\nhunger ***2"},
	} {
		if write(step.write); out.String() != step.seen {
			t.Fatalf("after %q: %q, want %q", step.write, out.String(), step.seen)
		}
	}
}

// However the text is split into writes, the output is the same, holds no value,
// and keeps all other text.
func TestMaskerIgnoresBoundaries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.StringOfN(rapid.RuneFrom([]rune("ab")), 4, 6, -1)
		values := rapid.SliceOfN(letters, 1, 3).Draw(t, "values")
		text := rapid.StringOfN(rapid.RuneFrom([]rune("abc\n")), 0, 60, -1).Draw(t, "text")
		whole := Mask(text, values...)
		for _, v := range values {
			if strings.Contains(whole, v) {
				t.Fatalf("%q still holds %q", whole, v)
			}
		}
		if strings.Count(text, "c") != strings.Count(whole, "c") {
			t.Fatalf("%q lost text: %q", text, whole)
		}
		var out bytes.Buffer
		m := NewMasker(&out, values...)
		for rest := text; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			if _, err := m.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := m.Flush(); err != nil {
			t.Fatal(err)
		}
		if out.String() != whole {
			t.Fatalf("in pieces %q, at once %q", out.String(), whole)
		}
	})
}

// An encoded value cannot be decoded from the output, whatever text surrounds it.
func TestMaskerFindsEncodedValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringMatching(`[a-zA-Z0-9+/"\\ <é]{12,24}`).Draw(t, "value")
		before := rapid.StringMatching(`[a-z:]{0,8}`).Draw(t, "before")
		quoted, err := json.Marshal(before + value)
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{
			"query":  url.QueryEscape(before + value),
			"path":   url.PathEscape(before + value),
			"json":   string(quoted),
			"base64": base64.StdEncoding.EncodeToString([]byte(before + value + "tail")),
			"url64":  base64.URLEncoding.EncodeToString([]byte(before + value + "tail")),
		} {
			if got := Mask(text, value); !strings.Contains(got, "***") || len(got) > len(text)-len(value)+6 {
				t.Fatalf("%s: %q became %q", name, text, got)
			}
		}
	})
}
