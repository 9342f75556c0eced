package control

import (
	"encoding/json"
	"fmt"
	"strings"

	"showrunner/pipeline"
	"showrunner/source"
)

// Moved is a source of a pipeline that is read from another place than before.
type Moved struct {
	Pipeline string `json:"pipeline"`
	Source   string `json:"source"` // such as: stage source, trigger 1
	From     string `json:"from"`   // address and branch
	To       string `json:"to"`
}

// moved compares where a pipeline reads from before and after: the git stages of the
// same name, and the polls at the same place.
func moved(before, after pipeline.Pipeline) []Moved {
	var list []Moved
	was := reads(before)
	for _, now := range reads(after) {
		for _, old := range was {
			if old.Source == now.Source && old.To != now.To {
				list = append(list, Moved{Pipeline: after.Name, Source: now.Source, From: old.To, To: now.To})
			}
		}
	}
	return list
}

// reads are the places that a pipeline reads from, each in To.
func reads(p pipeline.Pipeline) []Moved {
	var list []Moved
	for _, st := range p.Stages {
		var g pipeline.Git
		if st.Kind == "git" && json.Unmarshal(st.With, &g) == nil {
			list = append(list, Moved{Source: "stage " + st.Name, To: place(g.URL, g.Branch, g.Tag, g.Commit)})
		}
	}
	for i, t := range p.Triggers {
		if t.Poll != nil {
			list = append(list, Moved{Source: fmt.Sprintf("trigger %d", i+1), To: place(t.Poll.URL, strings.Join(t.Poll.Branches, ", "), strings.Join(t.Poll.Tags, ", "), "")})
		}
	}
	return list
}

// place writes an address with what is read there, for people.
func place(url, branch, tag, commit string) string {
	text := source.Redact(url)
	for _, part := range []struct{ word, value string }{{"branch", branch}, {"tag", tag}, {"commit", commit}} {
		if part.value != "" {
			text += ", " + part.word + " " + part.value
		}
	}
	return text
}
