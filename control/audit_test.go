package control

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"showrunner/problem"
	"showrunner/store/record"
	"showrunner/store/record/recordtest"
)

func auditing(t *testing.T) (*Service, *recordtest.Records) {
	t.Helper()
	records := &recordtest.Records{}
	return New(Deps{Records: records, Log: slog.New(slog.DiscardHandler), Now: time.Now}), records
}

var (
	owner    = Principal{Name: "ada", Owner: true}
	shopping = Subject{Kind: KindCluster, Name: "shop-prod", Application: "shop", Account: "local"}
)

// The intent stands before the act, the outcome after it, and a failed one too.
func TestIntentBeforeOutcomeAfter(t *testing.T) {
	for name, failure := range map[string]error{"done": nil, "failed": errors.New("no room")} {
		s, records := auditing(t)
		err := s.perform(t.Context(), owner, opResize, shopping, map[string]any{"desired": 3}, func() (map[string]any, error) {
			e := AuditEntries(records.Events())
			if len(e) != 1 || e[0].Outcome != NoOutcome || e[0].Subject != shopping || e[0].Details["desired"] != 3.0 {
				t.Errorf("%s: during the act the log has %+v", name, e)
			}
			return map[string]any{"done": "yes"}, failure
		})
		if !errors.Is(err, failure) {
			t.Errorf("%s: %v", name, err)
		}
		e := AuditEntries(records.Events())
		if len(e) != 1 || e[0].Outcome != name || (e[0].Error != "") != (failure != nil) || e[0].Ended.IsZero() || e[0].Details["desired"] != 3.0 || e[0].Details["done"] != "yes" {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// A process that dies between the two leaves the intent, which can be seen.
func TestACrashLeavesTheIntent(t *testing.T) {
	s, records := auditing(t)
	func() {
		defer func() { _ = recover() }()
		_ = s.perform(t.Context(), owner, opResize, shopping, nil, func() (map[string]any, error) { panic("killed") })
	}()
	if e := AuditEntries(records.Events()); len(e) != 1 || e[0].Outcome != NoOutcome || !e[0].Ended.IsZero() || e[0].Subject != shopping {
		t.Errorf("%+v", e)
	}
}

// Without an audit log nothing is done; an outcome that cannot be written is told,
// and one whose caller has hung up is written.
func TestWithoutAnAuditLogNothingIsDone(t *testing.T) {
	s, records := auditing(t)
	records.Fail = func(string, string, string) error { return problem.New(problem.Unavailable, "store", "unreachable") }
	err := s.perform(t.Context(), owner, opResize, shopping, nil, func() (map[string]any, error) {
		t.Error("it acted")
		return nil, nil
	})
	if problem.CodeOf(err) != problem.Unavailable || !strings.Contains(err.Error(), "nothing was done") {
		t.Error(err)
	}
	records.Fail = nil
	err = s.perform(t.Context(), owner, opResize, shopping, nil, func() (map[string]any, error) {
		records.Fail = func(string, string, string) error { return problem.New(problem.Unavailable, "store", "unreachable") }
		return nil, nil
	})
	if problem.CodeOf(err) != problem.Unavailable || !strings.Contains(err.Error(), "it was done") {
		t.Error(err)
	}
	records.Fail = nil
	ctx, cancel := context.WithCancel(t.Context())
	if err := s.perform(ctx, owner, opResize, shopping, nil, func() (map[string]any, error) { cancel(); return nil, nil }); err != nil {
		t.Error(err)
	}
	if e := AuditEntries(records.Events()); e[len(e)-1].Outcome != "done" {
		t.Errorf("%+v", e)
	}
}

// What is not permitted is denied in plain words and written down, and nothing else happens.
func TestPermissionDenied(t *testing.T) {
	for name, tt := range map[string]struct {
		p    Principal
		op   string
		may  bool
		says string
	}{
		"nobody":             {Principal{}, opResize, false, "permission denied: a request without a name may not do cluster.resize on cluster shop-prod"},
		"somebody":           {Principal{Name: "eve"}, opDestroy, false, "permission denied: eve may not do cluster.destroy on cluster shop-prod"},
		"the owner":          {owner, opDestroy, true, ""},
		"a trigger starts":   {Principal{Name: "poll", Via: ViaTrigger}, opRun, true, ""},
		"a trigger destroys": {Principal{Name: "poll", Via: ViaTrigger}, opDestroy, false, "poll may not do cluster.destroy"},
		"a stage starts":     {Principal{Name: "ada", Via: ViaStage}, opRun, true, ""},
		"a stage decides":    {Principal{Name: "ada", Via: ViaStage}, opDecide, false, "ada may not do execution.decide"},
		"a callback starts":  {Principal{Name: "callback", Via: ViaCallback}, opRun, false, "callback may not do execution.run"},
	} {
		for form, do := range map[string]func(s *Service) (bool, error){
			"perform": func(s *Service) (acted bool, err error) {
				err = s.perform(t.Context(), tt.p, tt.op, shopping, nil, func() (map[string]any, error) { acted = true; return nil, nil })
				return acted, err
			},
			"commit": func(s *Service) (acted bool, err error) {
				err = s.commit(t.Context(), tt.p, tt.op, shopping, nil, func(done record.Event) error {
					acted = true
					return s.Records.AppendEvents(t.Context(), done)
				})
				return acted, err
			},
		} {
			s, records := auditing(t)
			acted, err := do(s)
			if acted != tt.may || (err == nil) != tt.may || err != nil && (problem.CodeOf(err) != problem.Denied || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("%s, %s: acted %v, %v", name, form, acted, err)
			}
			want := map[bool]string{true: "done", false: "denied"}[tt.may]
			if e := AuditEntries(records.Events()); len(e) != 1 || e[0].Outcome != want || e[0].Via != tt.p.Via {
				t.Errorf("%s, %s: %+v", name, form, e)
			}
		}
	}
}

// A change of a record whose commit fails is written down as failed.
func TestACommitThatFailsIsWrittenDown(t *testing.T) {
	s, records := auditing(t)
	err := s.commit(t.Context(), owner, opThaw, Subject{Kind: KindFreeze, Name: "peak"}, nil, func(record.Event) error {
		return problem.New(problem.NotFound, opThaw, "there is no such freeze")
	})
	if e := AuditEntries(records.Events()); problem.CodeOf(err) != problem.NotFound || len(e) != 1 || e[0].Outcome != "failed" || e[0].Error == "" {
		t.Errorf("%v, %+v", err, e)
	}
}

// The events of earlier versions of this program can still be read.
func TestAuditEventsOfEarlierVersions(t *testing.T) {
	list := AuditEntries([]record.Event{
		{Type: "audit.cluster.resize", By: "ada", Application: "shop", Data: []byte(`{"subject":"shop-prod","done":["x"]}`)},
		{Type: "stage.started"},
		{Type: "audit.cluster.destroy", By: "ada", Data: []byte(`{"subject":"shop-prod","error":"refused"}`)},
	})
	if len(list) != 2 || list[0].Subject.Name != "shop-prod" || list[0].Outcome != "done" || list[1].Outcome != "failed" || list[1].Error != "refused" {
		t.Errorf("%+v", list)
	}
}
