package control

import (
	"context"
	"encoding/json"
	"slices"

	"showrunner/chaos/gameday"
	"showrunner/problem"
	"showrunner/store/record"
)

// Records of game days: each report, and beside it what a list shows of it.
const (
	gamedaySummaries = "gamedays"
	gamedayReports   = "gameday-reports"
	gamedaysKept     = 100 // the newest
)

// RecordGameday keeps the report of a game day. One that is kept already stays as it is.
// Errors: invalid, denied.
func (s *Service) RecordGameday(ctx context.Context, p Principal, r gameday.Report) (kept gameday.Summary, err error) {
	kept = r.Summary(r.ID(), p.Name)
	err = s.perform(ctx, p, opGameday, Subject{Kind: KindChaos, Name: kept.ID}, map[string]any{"passed": r.Passed}, func() (map[string]any, error) {
		if err := r.Check(); err != nil {
			return nil, err
		}
		// The report comes first: what a list shows can be read.
		for _, one := range []struct {
			collection string
			value      any
		}{{gamedayReports, r}, {gamedaySummaries, kept}} {
			data, err := json.Marshal(one.value)
			if err != nil {
				return nil, problem.Wrap(err, problem.Internal, opGameday, "encoding the report")
			}
			event := record.Event{Time: s.Now().UTC(), Type: "gameday.kept", By: p.Name}
			if event.Data, err = json.Marshal(kept); err != nil {
				return nil, problem.Wrap(err, problem.Internal, opGameday, "encoding the report")
			}
			events := []record.Event{event}
			if one.collection == gamedayReports {
				events = nil
			}
			_, err = s.Records.PutRecord(ctx, record.Record{Collection: one.collection, Key: kept.ID, Data: data}, events...)
			if err != nil && problem.CodeOf(err) != problem.Conflict {
				return nil, err
			}
		}
		return nil, s.forgetGamedays(ctx)
	})
	return kept, err
}

// forgetGamedays removes the oldest reports beyond those that are kept.
func (s *Service) forgetGamedays(ctx context.Context) error {
	list, err := s.gamedays(ctx)
	if err != nil {
		return err
	}
	for _, old := range list[min(len(list), gamedaysKept):] {
		for _, collection := range []string{gamedaySummaries, gamedayReports} {
			rec, err := s.Records.GetRecord(ctx, collection, old.ID)
			if err == nil {
				err = s.Records.DeleteRecord(ctx, collection, old.ID, rec.Version)
			}
			if code := problem.CodeOf(err); err != nil && code != problem.NotFound && code != problem.Conflict {
				return err
			}
		}
	}
	return nil
}

// Gamedays lists the game days whose reports are kept, the newest first. Errors: denied.
func (s *Service) Gamedays(ctx context.Context, p Principal) ([]gameday.Summary, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindChaos}); err != nil {
		return nil, err
	}
	return s.gamedays(s.direct(ctx))
}

func (s *Service) gamedays(ctx context.Context) ([]gameday.Summary, error) {
	list := []gameday.Summary{}
	const page = 200
	for after := ""; ; {
		recs, err := s.Records.ListRecords(ctx, gamedaySummaries, "", after, page)
		if err != nil {
			return nil, problem.Wrap(err, "", "gameday", "listing game days")
		}
		for _, rec := range recs {
			after = rec.Key
			var g gameday.Summary
			if err := json.Unmarshal(rec.Data, &g); err != nil {
				return nil, problem.Wrap(err, problem.Internal, "gameday", "the stored form of game day %s cannot be read", rec.Key)
			}
			list = append(list, g)
		}
		if len(recs) < page {
			break
		}
	}
	slices.SortStableFunc(list, func(a, b gameday.Summary) int { return b.Began.Compare(a.Began) })
	return list, nil
}

// Gameday reads the report of a game day. Errors: not_found, denied.
func (s *Service) Gameday(ctx context.Context, p Principal, id string) (r gameday.Report, err error) {
	if err := s.permit(p, opRead, Subject{Kind: KindChaos, Name: id}); err != nil {
		return r, err
	}
	rec, err := s.Records.GetRecord(s.direct(ctx), gamedayReports, id)
	if problem.CodeOf(err) == problem.NotFound {
		err = problem.New(problem.NotFound, "gameday", "there is no report of a game day %q", id).WithHelp("showrunner gameday list shows them; the newest %d are kept", gamedaysKept)
	}
	if err == nil {
		if err = json.Unmarshal(rec.Data, &r); err != nil {
			err = problem.Wrap(err, problem.Internal, "gameday", "the stored form of game day %s cannot be read", id)
		}
	}
	return r, err
}
