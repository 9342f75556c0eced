package ec2

import (
	_ "embed" // of filters.txt
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"showrunner/awsapi/wire"
)

// filters leaves the objects that match every filter of a request. names are the
// filters of the kind, each with the path of the member that it looks at; "tag:KEY",
// "tag-key" and "tag-value" look at Tags.
func filters(in object, names map[string]string, all []object) ([]object, error) {
	for _, f := range in.Objects("Filters") {
		name, values := f.Text("Name"), f.Texts("Values")
		var seen func(object) []string
		switch at, known := names[name]; {
		case strings.HasPrefix(name, "tag:"):
			seen = func(o object) []string { return tagValues(o, strings.TrimPrefix(name, "tag:")) }
		case name == "tag-key":
			seen = func(o object) []string { return reach(o, "Tags.Key") }
		case name == "tag-value":
			seen = func(o object) []string { return reach(o, "Tags.Value") }
		case known:
			seen = func(o object) []string { return reach(o, at) }
		default:
			return nil, wire.Errorf("InvalidParameterValue", "The filter '%s' is invalid", name)
		}
		all = slices.DeleteFunc(slices.Clone(all), func(o object) bool {
			return !slices.ContainsFunc(seen(o), func(v string) bool { return matches(values, v) })
		})
	}
	return all, nil
}

// matches says whether a value is one of those asked for, in which * and ? stand
// for any characters.
func matches(patterns []string, value string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if p == value {
			return true
		}
		if !strings.ContainsAny(p, "*?") {
			return false
		}
		// A path's separators are ordinary characters here.
		p, v := strings.NewReplacer("/", "\x00", "[", "\\[").Replace(p), strings.ReplaceAll(value, "/", "\x00")
		ok, err := path.Match(p, v)
		return err == nil && ok
	})
}

func tagValues(o object, key string) []string {
	var out []string
	for _, t := range o.Objects("Tags") {
		if t.Text("Key") == key {
			out = append(out, t.Text("Value"))
		}
	}
	return out
}

// reach are the values at a path of members, through lists.
func reach(v any, at string) []string {
	switch x := v.(type) {
	case nil:
		return nil
	case object:
		name, rest, _ := strings.Cut(at, ".")
		return reach(x[name], rest)
	case map[string]any: // of a document that was read back
		return reach(object(x), at)
	case []any:
		var out []string
		for _, e := range x {
			out = append(out, reach(e, at)...)
		}
		return out
	case bool:
		return []string{strconv.FormatBool(x)}
	case time.Time:
		return []string{x.UTC().Format("2006-01-02T15:04:05.000Z")}
	}
	return []string{fmt.Sprint(v)}
}

//go:embed filters.txt
var documentedFilters string

// documented adds to filters the others that AWS documents for an operation: each looks
// at the member of its name, so that it matches nothing where there is none here.
func documented(operation string, names map[string]string) map[string]string {
	for line := range strings.Lines(documentedFilters) {
		words := strings.Fields(line)
		if words[0] != operation {
			continue
		}
		for _, name := range words[1:] {
			if names[name] == "" {
				names[name] = memberPath(name)
			}
		}
	}
	return names
}

// memberPath is the path of members that a filter's name means: a-b.c is AB.C.
func memberPath(name string) string {
	var b strings.Builder
	first := true
	for _, r := range name {
		switch {
		case r == '-':
			first = true
		case r == '.':
			b.WriteRune(r)
			first = true
		case first:
			b.WriteRune(unicode.ToUpper(r))
			first = false
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// named makes filters of paths by AWS's own rule: a member in words with hyphens.
func named(paths ...string) map[string]string {
	out := map[string]string{}
	for _, p := range paths {
		name, at, renamed := strings.Cut(p, "=")
		if !renamed {
			at = p
			var b strings.Builder
			for i, r := range p {
				if unicode.IsUpper(r) && i > 0 && p[i-1] != '.' {
					b.WriteByte('-')
				}
				b.WriteRune(unicode.ToLower(r))
			}
			name = b.String()
		}
		out[name] = at
	}
	return out
}
