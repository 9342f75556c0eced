package eventlog

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"showrunner/store/record"
)

// Formats of an event as JSON: CloudEvents, or the log's own format.
const (
	FormatCloudEvents = "cloudevents"
	FormatEvent       = "event"
)

// ContentType is the media type of one CloudEvent as JSON.
const ContentType = "application/cloudevents+json"

// typePrefix is put before the log's own event types.
const typePrefix = "dev.showrunner."

// CloudEvent is an event in the form of CloudEvents 1.0
// (https://github.com/cloudevents/spec), JSON format. Source and ID together are
// unique: the ID is the event's position. The attributes from Sequence on are
// extensions.
type CloudEvent struct {
	SpecVersion     string          `json:"specversion"` // 1.0
	ID              string          `json:"id"`
	Source          string          `json:"source"` // the control plane's address
	Type            string          `json:"type"`   // dev.showrunner.execution.started, …
	Subject         string          `json:"subject,omitempty"`
	Time            time.Time       `json:"time"`
	DataContentType string          `json:"datacontenttype,omitempty"`
	Data            json.RawMessage `json:"data,omitempty"`
	Sequence        string          `json:"sequence"` // the position, for ordering, 20 digits
	Application     string          `json:"application,omitempty"`
	Pipeline        string          `json:"pipeline,omitempty"`
	Execution       string          `json:"execution,omitempty"`
	Stage           string          `json:"stage,omitempty"`
	By              string          `json:"by,omitempty"`
}

// CloudEventOf converts an event. Subject is the path of the event's object:
// application/pipeline/execution/stage, as far as each is set.
func CloudEventOf(source string, e record.Event) CloudEvent {
	var path []string
	for _, part := range []string{e.Application, e.Pipeline, e.Execution, e.Stage} {
		if part != "" {
			path = append(path, part)
		}
	}
	position := strconv.FormatInt(e.Position, 10)
	c := CloudEvent{SpecVersion: "1.0", ID: position, Source: source, Type: typePrefix + e.Type, Subject: strings.Join(path, "/"), Time: e.Time.UTC(),
		Sequence: strings.Repeat("0", max(0, 20-len(position))) + position, Application: e.Application, Pipeline: e.Pipeline,
		Execution: e.Execution, Stage: e.Stage, By: e.By}
	if len(e.Data) > 0 {
		c.DataContentType, c.Data = "application/json", e.Data
	}
	return c
}
