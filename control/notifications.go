package control

import (
	"context"
	"crypto/rand"

	"showrunner/notification"
	"showrunner/problem"
)

// Unsent lists what people could not be told of runs yet, or at all.
func (s *Service) Unsent(ctx context.Context, p Principal) ([]notification.Status, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindPipeline}); err != nil {
		return nil, err
	}
	list, err := notification.Store{Records: s.Records}.Unsent(ctx)
	if err != nil {
		return nil, problem.Wrap(err, "", "notifications.list", "listing what could not be sent")
	}
	return list, nil
}

// TryNotifications sends a message to each channel of a pipeline, and says what became of
// it. Errors: not_found, precondition (the pipeline has no channel), denied.
func (s *Service) TryNotifications(ctx context.Context, p Principal, application, name string) (list []notification.Tried, err error) {
	subject := Subject{Kind: KindPipeline, Name: application + "/" + name, Application: application}
	err = s.perform(ctx, p, opNotifyTest, subject, nil, func() (map[string]any, error) {
		app, err := s.Application(ctx, internal, application)
		if err != nil {
			return nil, err
		}
		def, err := app.Pipeline(name)
		if err != nil {
			return nil, err
		}
		if len(def.Notify) == 0 {
			return nil, problem.New(problem.Precondition, opNotifyTest, "%s/%s tells nobody of its runs", application, name).
				WithHelp("add a channel to the pipeline's notify: in its file, and apply it")
		}
		failed := 0
		for _, c := range def.Notify {
			t := notification.Try(ctx, c, notification.Run{Application: application, Pipeline: name}, s.URL, p.Name, rand.Text(), s.Now(), s.Secrets, notification.NewClient())
			if list = append(list, t); !t.OK {
				failed++
			}
		}
		return map[string]any{"channels": len(list), "failed": failed}, nil
	})
	return list, err
}
