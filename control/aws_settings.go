package control

import (
	"context"
	"encoding/json"

	"showrunner/problem"
	"showrunner/store/record"
)

// setAWS keeps a setting of the endpoint for AWS's clients, once check has accepted it.
func setAWS[T any](ctx context.Context, s *Service, p Principal, op, collection, name string, details map[string]any, setting T, check func() error) error {
	return s.commit(ctx, p, op, Subject{Kind: KindAWS, Name: name}, details, func(done record.Event) error {
		if err := check(); err != nil {
			return err
		}
		data, err := json.Marshal(setting)
		if err != nil {
			return problem.Wrap(err, problem.Internal, op, "encoding %s", name)
		}
		for {
			old, err := s.Records.GetRecord(ctx, collection, name)
			if err != nil && problem.CodeOf(err) != problem.NotFound {
				return err
			}
			_, err = s.Records.PutRecord(ctx, record.Record{Collection: collection, Key: name, Version: old.Version, Data: data}, done)
			if problem.CodeOf(err) != problem.Conflict || ctx.Err() != nil {
				return err
			}
		}
	})
}

// deleteAWS removes a setting. Errors: not_found, denied.
func deleteAWS(ctx context.Context, s *Service, p Principal, op, collection, what, name string) error {
	return s.commit(ctx, p, op, Subject{Kind: KindAWS, Name: name}, nil, func(done record.Event) error {
		old, err := s.Records.GetRecord(ctx, collection, name)
		if err != nil {
			return problem.Wrap(err, "", op, "the %s %s", what, name)
		}
		return s.Records.DeleteRecord(ctx, collection, name, old.Version, done)
	})
}

// listAWS lists the settings of a collection by name.
func listAWS[T any](ctx context.Context, s *Service, p Principal, collection, what string) ([]T, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindAWS}); err != nil {
		return nil, err
	}
	const page = 200
	list := []T{}
	for after := ""; ; {
		recs, err := s.Records.ListRecords(ctx, collection, "", after, page)
		if err != nil {
			return nil, problem.Wrap(err, "", collection+".list", "listing the settings")
		}
		for _, rec := range recs {
			var one T
			if err := json.Unmarshal(rec.Data, &one); err != nil {
				return nil, problem.Wrap(err, problem.Internal, collection+".list", "the stored form of %s %s cannot be read", what, rec.Key)
			}
			list, after = append(list, one), rec.Key
		}
		if len(recs) < page {
			return list, nil
		}
	}
}
