package resource

import (
	"maps"
	"slices"

	"showrunner/awsapi/cloudformation/template"
)

// AllTags are the resource's own tags and those of the stack; the resource's win.
func (r *Request) AllTags() []Tag {
	var own []Tag
	switch list := r.Properties["Tags"].(type) {
	case []any:
		for _, e := range list {
			m, _ := e.(map[string]any)
			key, _ := template.Text(m["Key"])
			value, _ := template.Text(m["Value"])
			own = append(own, Tag{key, value})
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(list)) {
			value, _ := template.Text(list[key])
			own = append(own, Tag{key, value})
		}
	}
	for _, t := range r.Tags {
		if !slices.ContainsFunc(own, func(o Tag) bool { return o.Key == t.Key }) {
			own = append(own, t)
		}
	}
	return own
}

// tagList is the tags as most operations take them.
func (r *Request) tagList() []any {
	out := []any{}
	for _, t := range r.AllTags() {
		out = append(out, map[string]any{"Key": t.Key, "Value": t.Value})
	}
	return out
}

// oldTagKeys are the keys of tags that were there and are no more.
func (r *Request) oldTagKeys() []any {
	old := *r
	old.Properties = r.Old
	now := r.AllTags()
	var out []any
	for _, t := range old.AllTags() {
		if !slices.ContainsFunc(now, func(o Tag) bool { return o.Key == t.Key }) {
			out = append(out, t.Key)
		}
	}
	return out
}
