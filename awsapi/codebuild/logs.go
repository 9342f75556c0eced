package codebuild

import (
	"bytes"
	"context"
	"strings"
	"time"

	"showrunner/awsapi/logs"
	"showrunner/control"
	"showrunner/problem"
)

// Logs keeps the lines of builds as log events.
type Logs interface {
	Append(ctx context.Context, region, group, stream string, lines []logs.Line) error
}

// logGroups is what the names of the builds' log groups begin with.
const logGroups = "/aws/codebuild/"

// copiedLog is how far a build's log has become log events.
type copiedLog struct {
	Offset int64     `json:"offset"`
	Last   time.Time `json:"last"`
	Whole  bool      `json:"whole,omitempty"`
}

// mostFilled is how many builds of a project are looked at, newest first.
const mostFilled = 50

// FillLogs appends what the builds of a project have written to its log group; other
// groups are left alone. After a crash in between, lines may be there twice.
func (s *Service) FillLogs(ctx context.Context, region, group string) error {
	project, ok := strings.CutPrefix(group, logGroups)
	if !ok || s.Logs == nil {
		return nil
	}
	s.filling.Lock()
	defer s.filling.Unlock()
	list, err := s.all(ctx, region, project)
	if err != nil {
		return err
	}
	for _, b := range list[:min(len(list), mostFilled)] {
		if err := s.fill(ctx, region, group, b); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) fill(ctx context.Context, region, group string, b found) error {
	if b.state.Attempt < b.attempt {
		return nil // it has not begun
	}
	at, err := s.copied.Get(ctx, region+"/"+b.id)
	if err != nil && problem.CodeOf(err) != problem.NotFound || at.Whole {
		return err
	}
	over := b.over() // before the log is read: what is written later comes with the next call
	var text bytes.Buffer
	err = s.Control.StageLog(ctx, s.Principal, control.LogRequest{Execution: b.e.ID, Stage: b.state.Name, Attempt: b.attempt, From: at.Offset}, &text)
	if problem.CodeOf(err) == problem.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	whole := text.Bytes()
	if !over {
		whole = whole[:bytes.LastIndexByte(whole, '\n')+1]
	}
	if len(whole) == 0 && !over {
		return nil
	}
	if at.Last.IsZero() {
		at.Last = b.began()
	}
	var lines []logs.Line
	for line := range strings.Lines(string(whole)) {
		at.Last = written(line, at.Last)
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			lines = append(lines, logs.Line{At: at.Last, Text: line})
		}
	}
	_, uuid, _ := strings.Cut(b.id, ":")
	if err := s.Logs.Append(ctx, region, group, uuid, lines); err != nil {
		return err
	}
	_, err = s.copied.Put(ctx, region+"/"+b.id, func(c *copiedLog) error {
		*c = copiedLog{Offset: at.Offset + int64(len(whole)), Last: at.Last, Whole: over}
		return nil
	})
	return err
}

// written is when a line was written: the builder's own lines say it, others came
// after the one before.
func written(line string, before time.Time) time.Time {
	rest, ok := strings.CutPrefix(line, "[Container] ")
	const form = "2006/01/02 15:04:05.000000"
	if !ok || len(rest) < len(form) {
		return before
	}
	at, err := time.Parse(form, rest[:len(form)])
	if err != nil || at.Before(before) {
		return before
	}
	return at
}
