package control

import (
	"sync"
	"testing"
	"time"

	"showrunner/store"
	"showrunner/store/pgtest"
)

// TestKillsOfTwoReplicasOnPostgres: two control planes, each with connections of its own
// to one PostgreSQL, draw and kill at the same moments. Each day is drawn once and has
// one kill, however often and at once both look; a third one that starts later finds
// nothing to do.
func TestKillsOfTwoReplicasOnPostgres(t *testing.T) {
	t.Parallel()
	if _, err := pgtest.Find(); err != nil {
		t.Skipf("PostgreSQL is not installed: %v", err)
	}
	server, err := pgtest.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	address, err := server.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	st := newMonkeyStage(t, 19, "")
	replica := func(session string) *Service {
		records, err := store.Open(t.Context(), address, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { records.Close() })
		s := st.plane(session)
		s.Records = records
		return s
	}
	one, two := replica("one"), replica("two")
	file := "application: shop\nchaos: { enabled: true, meanTimeBetweenKillsInWorkDays: 1, zone: UTC }\npipelines: { p: { stages: { s: { wait: { for: 1s } } } } }\n"
	if _, err := one.Apply(t.Context(), ada, File{Name: "showrunner.yaml", Source: []byte(file)}, 0); err != nil {
		t.Fatal(err)
	}
	atOnce := func(replicas ...*Service) {
		t.Helper()
		var work sync.WaitGroup
		for _, s := range replicas {
			work.Go(func() { // a control plane looks again once it has looked
				for range 4 {
					if _, err := s.monkeyTurn(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		work.Wait()
	}
	const days = 8
	done := 0
	for day := time.Date(2026, 12, 7, 0, 30, 0, 0, time.UTC); done < days; day = day.AddDate(0, 0, 1) { // a Monday
		if day.Weekday() == time.Saturday || day.Weekday() == time.Sunday {
			continue
		}
		st.set(day)
		atOnce(one, two)
		state, _, err := two.monkeyState(t.Context(), "shop")
		if err != nil {
			t.Fatal(err)
		}
		due := time.Time{}
		for _, k := range state.Kills {
			if k.Outcome == KillScheduled {
				if !due.IsZero() {
					t.Fatalf("%s has more than one kill: %+v", day.Format(time.DateOnly), state.Kills)
				}
				due = k.Due
			}
		}
		if due.IsZero() {
			t.Fatalf("%s was not drawn: %+v", day.Format(time.DateOnly), state.Kills)
		}
		st.set(due)
		atOnce(one, two)
		if done++; st.cloud.count() != done {
			t.Fatalf("%d instances have ended after %d days", st.cloud.count(), done)
		}
		for _, times := range st.cloud.ended {
			if times != 1 {
				t.Fatalf("an instance was ended %d times", times)
			}
		}
	}
	atOnce(one, two, replica("three"))
	state, _, err := one.monkeyState(t.Context(), "shop")
	if err != nil || st.cloud.count() != days || len(state.Kills) != days {
		t.Errorf("%d instances have ended, %d kills are recorded, %v", st.cloud.count(), len(state.Kills), err)
	}
	for _, k := range state.Kills {
		if k.Outcome != Killed {
			t.Errorf("%+v", k)
		}
	}
}
