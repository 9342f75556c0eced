package secretsmanager

import (
	"slices"
	"time"
)

// Stages that AWS itself moves.
const (
	current  = "AWSCURRENT"
	previous = "AWSPREVIOUS"
	pending  = "AWSPENDING"
)

// document is what is kept of one secret.
type document struct {
	ARN         string    `json:"arn"`
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	KMSKey      string    `json:"kmsKey,omitempty"`
	Tags        []tag     `json:"tags,omitzero"` // empty once all were removed, as AWS says
	Policy      string    `json:"policy,omitempty"`
	Created     time.Time `json:"created"`
	Changed     time.Time `json:"changed"`
	Accessed    time.Time `json:"accessed,omitzero"` // the day
	// Deletes is when it is gone for good; zero: it is not marked for deletion.
	Deletes  time.Time `json:"deletes,omitzero"`
	Marked   time.Time `json:"marked,omitzero"` // when it was
	Versions []version `json:"versions,omitempty"`
	Rotation *rotation `json:"rotation,omitempty"` // nil: it was never rotated
}

type version struct {
	ID       string    `json:"id"`
	Stages   []string  `json:"stages,omitempty"`
	Created  time.Time `json:"created"`
	Accessed time.Time `json:"accessed,omitzero"` // the day
	Binary   bool      `json:"binary,omitempty"`
	Empty    bool      `json:"empty,omitempty"` // a rotation has begun, and it has no value yet
	Value    string    `json:"value"`           // its name in the secret store
}

// mostDeprecated is how many versions without a stage are kept.
const mostDeprecated = 100

func (d *document) version(id string) *version {
	for i := range d.Versions {
		if d.Versions[i].ID == id {
			return &d.Versions[i]
		}
	}
	return nil
}

func (d *document) staged(stage string) *version {
	for i := range d.Versions {
		if slices.Contains(d.Versions[i].Stages, stage) {
			return &d.Versions[i]
		}
	}
	return nil
}

// take removes a stage from whichever version has it.
func (d *document) take(stage string) {
	if v := d.staged(stage); v != nil {
		v.Stages = slices.DeleteFunc(v.Stages, func(s string) bool { return s == stage })
	}
}

// move gives a stage to a version. The one that was current becomes the previous one,
// and is not pending any more.
func (d *document) move(stage string, to *version) {
	had := d.staged(stage)
	if had != nil && had.ID == to.ID {
		return
	}
	d.take(stage)
	if stage == current && had != nil {
		d.take(previous)
		had.Stages = append(slices.DeleteFunc(had.Stages, func(s string) bool { return s == pending }), previous)
		slices.Sort(had.Stages)
	}
	to.Stages = append(to.Stages, stage)
	slices.Sort(to.Stages)
}

// prune drops the oldest versions without a stage, and returns the names of their values.
func (d *document) prune() []string {
	deprecated := 0
	for _, v := range d.Versions {
		if len(v.Stages) == 0 {
			deprecated++
		}
	}
	var gone []string
	d.Versions = slices.DeleteFunc(d.Versions, func(v version) bool {
		if len(v.Stages) > 0 || deprecated <= mostDeprecated {
			return false
		}
		deprecated--
		if !v.Empty {
			gone = append(gone, v.Value)
		}
		return true
	})
	return gone
}

// values are the names of every version's value.
func (d *document) values() []string {
	var all []string
	for _, v := range d.Versions {
		if v.Empty {
			continue
		}
		all = append(all, v.Value)
	}
	return all
}

// stages are the versions with a stage, as DescribeSecret tells them.
func (d *document) stages() map[string][]string {
	var out map[string][]string
	for _, v := range d.Versions {
		if len(v.Stages) > 0 {
			if out == nil {
				out = map[string][]string{}
			}
			out[v.ID] = v.Stages
		}
	}
	return out
}
