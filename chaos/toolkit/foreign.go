package toolkit

import "fmt"

// foreign says that a document is no experiment of Chaos Toolkit at all, and what it is.
func (r *reader) foreign(root map[string]any) bool {
	version, _ := root["apiVersion"].(string)
	kind, _ := root["kind"].(string)
	if version == "" || kind == "" || root["method"] != nil {
		return false
	}
	r.problem("kind", "experiments of Chaos Toolkit have a title, a description and a method; own ones begin with experiment:",
		"this is an object of Kubernetes (%s, %s), and no experiment of Chaos Toolkit", kind, version)
	return true
}

// older says that an entry of a method has the form of the first versions of Chaos
// Toolkit, in which a step held an action and probes.
func (r *reader) older(m map[string]any, place string) bool {
	if m["provider"] != nil || m["ref"] != nil {
		return false
	}
	for _, name := range []string{"action", "probes"} {
		if inner, ok := m[name].(map[string]any); ok {
			help := "each of them is an activity of its own now, with type, name and provider; a probe that has to hold belongs to the steady-state-hypothesis"
			if title, _ := inner["title"].(string); title != "" {
				help = fmt.Sprintf("%q is an activity of its own now, with type, name and provider", title)
			}
			r.problem(place, help, "this step has the form of the first versions of Chaos Toolkit, with %s in it", name)
			return true
		}
	}
	return false
}
