package lambda

import (
	"context"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/carry"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// mapping feeds a function with the records of a stream.
type mapping struct {
	UUID      string    `json:"uuid"`
	Region    string    `json:"region"`
	Stream    string    `json:"stream"` // its ARN
	Function  string    `json:"function"`
	Qualifier string    `json:"qualifier,omitempty"`
	Settings  object    `json:"settings"`
	Start     time.Time `json:"start,omitzero"` // the records from then on; zero: all
	Enabled   bool      `json:"enabled"`
	Created   time.Time `json:"created"`
	Modified  time.Time `json:"modified"`
	Result    string    `json:"result"`              // of the last batch
	Unseen    string    `json:"unseen,omitempty"`    // the state that an answer has to say once: Creating, Updating
	Positions positions `json:"positions,omitempty"` // by shard
	By        string    `json:"by,omitempty"`        // the process that reads it
	Until     time.Time `json:"until,omitzero"`      // when another one may
}

// positions are how far shards have been read.
type positions map[string]position

// position is the last record of a shard that was carried out.
type position struct {
	After string `json:"after,omitempty"` // its sequence number
	Done  bool   `json:"done,omitempty"`  // there will be no more
}

func (m mapping) key() string { return m.Region + "/" + m.UUID }

// streamName is the name of a mapping's stream.
func (m mapping) streamName() string { return m.Stream[strings.LastIndexByte(m.Stream, '/')+1:] }

// keptOfMapping are the settings of a mapping that are kept as they are given.
var keptOfMapping = []string{"BatchSize", "BisectBatchOnFunctionError", "MaximumBatchingWindowInSeconds", "MaximumRecordAgeInSeconds", "MaximumRetryAttempts", "ParallelizationFactor",
	"StartingPosition", "FunctionResponseTypes", "TumblingWindowInSeconds"}

// checkMapping refuses what nothing here carries out.
func checkMapping(in object) error {
	switch {
	case len(in.Inner("FilterCriteria").Objects("Filters")) > 0:
		return refused("FilterCriteria of an event source mapping: the function gets all records")
	case in.Inner("DestinationConfig").Inner("OnFailure").Text("Destination") != "":
		return refused("a destination for failed batches: SQS and SNS are not served")
	case in.Number("ParallelizationFactor", 1) > 1:
		return refused("a ParallelizationFactor above 1: each shard has one batch at a time")
	case in.Number("TumblingWindowInSeconds", 0) > 0:
		return refused("tumbling windows")
	case in.Number("BatchSize", 100) > 10000:
		return invalid("Batch size must be at most 10000 for Kinesis.")
	case in.Number("MaximumRecordAgeInSeconds", -1) > -1 && in.Number("MaximumRecordAgeInSeconds", -1) < 60:
		return invalid("MaximumRecordAgeInSeconds must be -1, or between 60 and 604800.")
	}
	return nil
}

func (s *Service) createMapping(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	stream := in.Text("EventSourceArn")
	switch {
	case in.Has("SelfManagedEventSource"):
		return nil, refused("event sources without an EventSourceArn, such as a Kafka of one's own")
	case stream == "":
		return nil, invalid("Unrecognized event source.")
	}
	w, err := s.which(c, in.Text("FunctionName"), "")
	if err != nil {
		return nil, err
	}
	f, err := s.settled(ctx, c.Region, w)
	if wire.CodeOf(err) == "ResourceNotFoundException" || err == nil && f.qualified(w.qualifier) == nil {
		err = invalid(noSuchFunction)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case !strings.HasPrefix(stream, "arn:aws:kinesis:"):
		return nil, refused("the event source %s: streams of Kinesis feed functions, SQS, DynamoDB and the others are not served", stream)
	}
	if err := checkMapping(*in); err != nil {
		return nil, err
	}
	now := s.Now().UTC()
	m := mapping{UUID: carry.NewUUID(), Region: c.Region, Stream: stream, Function: w.name, Qualifier: w.qualifier, Settings: in.Only(keptOfMapping...), Enabled: true, Created: now, Modified: now,
		Result: "No records processed", Unseen: "Creating"}
	if enabled, given := (*in)["Enabled"].(bool); given {
		m.Enabled = enabled
	}
	switch in.Text("StartingPosition") {
	case "":
		return nil, invalid("1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must not be null.")
	case "LATEST":
		m.Start = now
	case "AT_TIMESTAMP":
		at, _ := (*in)["StartingPositionTimestamp"].(time.Time)
		if at.IsZero() {
			return nil, invalid("StartingPositionTimestamp is required with the starting position AT_TIMESTAMP.")
		}
		m.Start = at.UTC()
	}
	if _, err := s.shards(ctx, m); err != nil {
		if wire.CodeOf(err) == "ResourceNotFoundException" {
			err = invalid("Stream not found: %s", stream)
		}
		return nil, err
	}
	all, err := s.mappings.List(ctx, c.Region+"/")
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		if e.Doc.Stream == stream && e.Doc.Function == w.name && e.Doc.Qualifier == w.qualifier {
			return nil, conflict("The event source arn (\" %s \") and function (\" %s \") provided mapping already exists. Please update or delete the existing mapping with UUID %s", stream, w.name, e.Doc.UUID)
		}
	}
	if err := s.mappings.Create(ctx, m.key(), m); err != nil {
		return nil, err
	}
	s.remap()
	return s.toldMapping(m, m.Unseen), nil
}

// remap has the readers look at the mappings.
func (s *Service) remap() {
	select {
	case s.mapped <- struct{}{}:
	default:
	}
}

// toldMapping is a mapping as its operations say; state is what it is said to be, empty: what it is.
func (s *Service) toldMapping(m mapping, state string) *object {
	if state == "" {
		state = "Disabled"
		if m.Enabled {
			state = "Enabled"
		}
	}
	out := object{
		"UUID": m.UUID, "EventSourceArn": m.Stream, "FunctionArn": s.arn(m.Region, m.Function, m.Qualifier), "State": state, "StateTransitionReason": "User action",
		"LastModified": m.Modified, "LastProcessingResult": m.Result, "BatchSize": 100, "BisectBatchOnFunctionError": false, "MaximumBatchingWindowInSeconds": 0, "MaximumRecordAgeInSeconds": -1,
		"MaximumRetryAttempts": -1, "ParallelizationFactor": 1, "TumblingWindowInSeconds": 0, "DestinationConfig": object{"OnFailure": object{}}, "FunctionResponseTypes": []any{},
	}.With(m.Settings)
	if m.Settings.Text("StartingPosition") == "AT_TIMESTAMP" {
		out["StartingPositionTimestamp"] = m.Start
	}
	return &out
}

func (s *Service) noMapping() error { return missing(noSuchResource) }

// seen is a mapping by its identifier; what was said once of it is not said again.
func (s *Service) seen(ctx context.Context, c *wire.Call, id string) (mapping, error) {
	m, err := s.mappings.Get(ctx, c.Region+"/"+id)
	if err == nil && m.Unseen != "" {
		m, err = s.mappings.Update(ctx, m.key(), func(m *mapping) error { m.Unseen = ""; return nil })
	}
	if problem.CodeOf(err) == problem.NotFound {
		err = s.noMapping()
	}
	return m, err
}

func (s *Service) getMapping(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	m, err := s.seen(ctx, c, in.Text("UUID"))
	if err != nil {
		return nil, err
	}
	return s.toldMapping(m, ""), nil
}

func (s *Service) listMappings(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	all, err := s.mappings.List(ctx, c.Region+"/")
	if err != nil {
		return nil, err
	}
	wanted := which{}
	if name := in.Text("FunctionName"); name != "" {
		if wanted, err = s.which(c, name, ""); err != nil {
			return nil, err
		}
	}
	var list []object
	for _, e := range all {
		m := e.Doc
		if wanted.name != "" && (m.Function != wanted.name || wanted.qualifier != "" && m.Qualifier != wanted.qualifier) || in.Text("EventSourceArn") != "" && in.Text("EventSourceArn") != m.Stream {
			continue
		}
		list = append(list, *s.toldMapping(m, ""))
	}
	return page(*in, "EventSourceMappings", sorted(list, "UUID"), "UUID")
}

func (s *Service) updateMapping(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	if err := checkMapping(*in); err != nil {
		return nil, err
	}
	var to *which
	if name := in.Text("FunctionName"); name != "" {
		w, err := s.which(c, name, "")
		if err != nil {
			return nil, err
		}
		f, err := s.settled(ctx, c.Region, w)
		if err != nil {
			return nil, err
		}
		if f.qualified(w.qualifier) == nil {
			return nil, s.noFunction(c.Region, w)
		}
		to = &w
	}
	given := in.Only(slices.DeleteFunc(slices.Clone(keptOfMapping), func(m string) bool { return m == "StartingPosition" })...)
	m, err := s.mappings.Update(ctx, c.Region+"/"+in.Text("UUID"), func(m *mapping) error {
		m.Settings = m.Settings.With(given)
		if enabled, said := (*in)["Enabled"].(bool); said {
			m.Enabled = enabled
		}
		if to != nil {
			m.Function, m.Qualifier = to.name, to.qualifier
		}
		m.Modified = s.Now().UTC()
		return nil
	})
	if problem.CodeOf(err) == problem.NotFound {
		err = s.noMapping()
	}
	if err != nil {
		return nil, err
	}
	s.remap()
	return s.toldMapping(m, "Updating"), nil
}

func (s *Service) deleteMapping(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	m, err := s.seen(ctx, c, in.Text("UUID"))
	if err == nil {
		err = s.mappings.Delete(ctx, m.key(), nil)
	}
	if problem.CodeOf(err) == problem.NotFound {
		err = s.noMapping()
	}
	if err != nil {
		return nil, err
	}
	s.remap()
	return s.toldMapping(m, "Deleting"), nil
}
