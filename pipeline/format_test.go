package pipeline

import (
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// texts are what goes wrong in YAML writers: what reads as another type,
// indicators, white space at the ends, line ends, wide characters.
func texts() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"", " ", "~", "null", "true", "no", "1", "1.0", "0x1f", "1e3", "2001-01-01", "a: b", "- a", "# c", "a #b", "'", `"`, "\\",
			"a\nb", "a\nb\n", "\na", " a\n b", "a\n\n\n", "\ttab", "trail ", "line \nend", "a\r\nb", "a\rb", "*x", "&x", "!x", "%x", "@x", "`x", "{a", "[a", "?", "? a", "<<", "=", "---", "...",
			"日本", "\u00a0", "\u2028", "\u0085", "\ufeff", "🎬", "x:", ":x", "|", ">", "a\tb\nc", "\u007f", "{{ }}", "$${", "}}", "  two\n one", "\n\n", "\n x"}),
		rapid.StringOfN(rapid.RuneFrom([]rune("ab \n\t:#-'\"{}[],&*!|>%@`\\é日")), 0, 12, -1))
}

func names() *rapid.Generator[string] {
	return rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9_-]{0,8}`)
}

func optional[T any](g *rapid.Generator[T], zero T) *rapid.Generator[T] {
	return rapid.OneOf(rapid.Just(zero), g)
}

func durations() *rapid.Generator[Duration] {
	return rapid.Custom(func(t *rapid.T) Duration {
		unit := rapid.SampledFrom([]Duration{1, 1e3, 1e6, 1e9, 60e9, 3600e9, 86400e9}).Draw(t, "unit")
		return unit * Duration(rapid.IntRange(1, 1000).Draw(t, "n"))
	})
}

// stages draws configurations that Parse accepts; With is what Parse writes.
func stageOf(t *rapid.T, name string, earlier []string) Stage {
	s := Stage{Name: name, Description: optional(texts(), "").Draw(t, "description"), OnFailure: rapid.SampledFrom([]FailurePolicy{Halt, HaltBranch, FailAtEnd, Continue}).Draw(t, "policy")}
	for _, e := range earlier {
		if rapid.Bool().Draw(t, "need") {
			s.Needs = append(s.Needs, e)
		}
	}
	s.When = rapid.SampledFrom([]string{"", "true", `execution.number > 1 and trigger.branch != "#x: y"`}).Draw(t, "when")
	s.Timeout = optional(durations(), 0).Draw(t, "timeout")
	if rapid.Bool().Draw(t, "retry") {
		s.Retry = &Retry{Attempts: rapid.IntRange(1, 5).Draw(t, "attempts"), Backoff: optional(durations(), 0).Draw(t, "backoff")}
	}
	if rapid.Bool().Draw(t, "window") {
		s.Windows = []Window{{Days: rapid.SampledFrom([][]string{nil, {"mon", "sun"}}).Draw(t, "days"), From: "09:00", To: "17:30", Zone: rapid.SampledFrom([]string{"", "Asia/Tokyo"}).Draw(t, "zone")}}
	}
	parts := map[string]any{}
	switch s.Kind = rapid.SampledFrom([]string{"run", "approval", "wait", "webhook"}).Draw(t, "kind"); s.Kind {
	case "run":
		parts["commands"] = rapid.SliceOfN(texts(), 1, 3).Draw(t, "commands")
		parts["env"] = rapid.MapOfN(rapid.StringMatching(`[A-Z][A-Z0-9_]{0,5}`), texts(), 1, 3).Draw(t, "env")
	case "approval":
		parts["instructions"] = texts().Draw(t, "instructions")
		parts["minimum"] = 1
		parts["forbidSelf"] = rapid.Bool().Draw(t, "forbidSelf")
	case "wait":
		parts["for"] = durations().Draw(t, "for")
	case "webhook":
		parts["url"] = "https://example.com/" + names().Draw(t, "path")
		parts["body"] = texts().Draw(t, "body")
		parts["expect"] = []string{"${{ 200 }}"}
	}
	kind, _ := FindKind(s.Kind)
	s.With = canonical(t, reflect.TypeOf(kind.Config), parts)
	return s
}

func canonical(t *rapid.T, typ reflect.Type, parts map[string]any) []byte {
	var b strings.Builder
	for _, f := range shapeOf(typ).fields {
		if v, ok := parts[f.name]; ok {
			if b.Len() > 0 {
				b.WriteByte(',')
			}
			b.Write(encodeString(f.name))
			b.WriteByte(':')
			b.Write(encodeAny(t, v))
		}
	}
	return []byte("{" + b.String() + "}")
}

func encodeAny(t *rapid.T, v any) []byte {
	var b strings.Builder
	switch v := v.(type) {
	case string:
		return encodeString(v)
	case []string:
		for i, s := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			b.Write(encodeString(s))
		}
		return []byte("[" + b.String() + "]")
	case map[string]string:
		for i, k := range sortedKeys(v) {
			if i > 0 {
				b.WriteByte(',')
			}
			b.Write(encodeString(k))
			b.WriteByte(':')
			b.Write(encodeString(v[k]))
		}
		return []byte("{" + b.String() + "}")
	case Duration:
		return encodeString(v.String())
	case int:
		s, err := asText(v)
		if err != nil {
			t.Fatal(err)
		}
		return []byte(s)
	case bool:
		if v {
			return []byte("true")
		}
		return []byte("false")
	}
	t.Fatalf("a %T", v)
	return nil
}

func documents() *rapid.Generator[*Document] {
	return rapid.Custom(func(t *rapid.T) *Document {
		doc := &Document{Application: names().Draw(t, "application")}
		for _, name := range rapid.SliceOfNDistinct(names(), 1, 3, rapid.ID[string]).Draw(t, "pipelines") {
			p := Pipeline{Name: name, Description: optional(texts(), "").Draw(t, "description"),
				Concurrency: rapid.SampledFrom([]Concurrency{Queue, Supersede, Parallel}).Draw(t, "concurrency")}
			for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z_][a-z0-9-]{0,6}`), 0, 3, rapid.ID[string]).Draw(t, "parameters") {
				v := Parameter{Name: name, Description: optional(texts(), "").Draw(t, "about"), Required: rapid.Bool().Draw(t, "required")}
				if !v.Required && rapid.Bool().Draw(t, "defaulted") {
					v.Default = ptr(texts().Draw(t, "default"))
				}
				p.Parameters = append(p.Parameters, v)
			}
			if rapid.Bool().Draw(t, "trigger") {
				p.Triggers = []Trigger{{Push: &PushTrigger{Branches: []string{"main", "!release/*"}}}, {Poll: &PollTrigger{URL: ".", Every: Duration(1e9) + durations().Draw(t, "every")}}}
			}
			var earlier []string
			for _, name := range rapid.SliceOfNDistinct(names(), 1, 4, rapid.ID[string]).Draw(t, "stages") {
				p.Stages = append(p.Stages, stageOf(t, name, earlier))
				earlier = append(earlier, name)
			}
			doc.Pipelines = append(doc.Pipelines, p)
		}
		return doc
	})
}

// TestFormatRoundTrip: what Format writes reads back as the same document.
func TestFormatRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		doc := documents().Draw(t, "document")
		out, err := Format(doc)
		if err != nil {
			t.Fatal(err)
		}
		got, ds := Parse("formatted.yaml", out)
		if ds.HasErrors() {
			t.Fatalf("%s\n%s", out, ds)
		}
		if !reflect.DeepEqual(got, doc) {
			t.Fatalf("%s\ngot  %+v\nwant %+v", out, got, doc)
		}
	})
}

func TestDurations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Duration(rapid.Int64().Draw(t, "d"))
		if back, err := ParseDuration(d.String()); err != nil || back != d {
			t.Fatalf("%d is %q is %d: %v", d, d, back, err)
		}
	})
	for text, want := range map[string]string{"1d": "24h", "1d12h": "36h", "90s": "1m30s", "0.5d": "12h", "1h0m": "1h", "0": "0s", "-1d1h": "-25h"} {
		if d, err := ParseDuration(text); err != nil || d.String() != want {
			t.Errorf("%q: %s %v", text, d, err)
		}
	}
	for _, text := range []string{"", "d", "1", "1 d", "1d1d", "1d-1h", "Inf d", "infd", "1e9d", "999999999999d", "30 seconds"} {
		if d, err := ParseDuration(text); err == nil {
			t.Errorf("%q is %s", text, d)
		}
	}
}
