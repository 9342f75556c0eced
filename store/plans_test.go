package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"showrunner/execution"
	"showrunner/store"
)

// A page is a stretch of the index made for it, whatever else the tables hold and
// whatever the database believes about them: nothing that is not asked for is read.
func TestListsFollowTheirIndexes(t *testing.T) {
	one, two := []execution.Status{execution.Terminal}, []execution.Status{execution.Succeeded, execution.Canceled}
	at := time.Now().Add(-time.Hour)
	const byStatus, byApplication, byPipeline = "status", "application, status", "application, pipeline, status"
	cases := []struct {
		query   execution.Query
		columns string // of the index; "word": that of words
	}{
		{execution.Query{}, ""}, {execution.Query{Since: at}, ""}, {execution.Query{Since: at, Until: at.Add(30 * time.Minute)}, ""},
		{execution.Query{Statuses: one}, byStatus}, {execution.Query{Statuses: two, Since: at}, byStatus},
		{execution.Query{Application: "app7"}, byApplication}, {execution.Query{Application: "app7", Statuses: one}, byApplication},
		{execution.Query{Application: "app7", Statuses: two, Until: at.Add(30 * time.Minute)}, byApplication},
		{execution.Query{Application: "app7", Pipeline: "main"}, byPipeline}, {execution.Query{Application: "app7", Pipeline: "main", Statuses: two, After: "1aa"}, byPipeline},
		{execution.Query{Parent: "x00001"}, "parent"}, {execution.Query{Parent: "x00001", Application: "app7", Pipeline: "main", Statuses: one}, "parent"},
		{execution.Query{RollbackOf: "x00001"}, "rollback_of"}, {execution.Query{RollbackOf: "x00001", Statuses: one}, "rollback_of"},
		{execution.Query{Pipeline: "main"}, "word"}, {execution.Query{Pipeline: "absent"}, "word"}, {execution.Query{Pipeline: "main", Statuses: two}, "word"},
		{execution.Query{Text: "ann"}, "word"}, {execution.Query{Text: "ann absent", Application: "app7"}, "word"}, {execution.Query{Text: "ann", Statuses: two}, "word"},
		{execution.Query{Text: "ann", Statuses: one}, byStatus}, // few of them: they are looked at
	}
	for kind, check := range map[string]func(plan, columns string) error{"sqlite": followsOnSQLite, "postgres": followsOnPostgres} {
		for _, known := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, tables known: %t", kind, known), func(t *testing.T) {
				s := open(t, address(t, kind))
				fillSome(t, s, 3000)
				if known {
					if err := store.Analyze(t.Context(), s); err != nil {
						t.Fatal(err)
					}
				}
				for _, c := range cases {
					c.query.Limit = 50
					plans, err := store.Plans(t.Context(), s, c.query)
					if err != nil {
						t.Fatal(err)
					}
					if err := check(plans[len(plans)-1], c.columns); err != nil {
						t.Errorf("%+v: %v\n%s", c.query, err, plans[len(plans)-1])
					}
				}
			})
		}
	}
}

func followsOnSQLite(plan, columns string) error {
	want := strings.ReplaceAll("("+columns+", ", ", ", "=? AND ") + "seq>? AND seq<?)"
	switch columns {
	case "":
		want = "SEARCH e USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"
	case "word":
		want = "SCAN word VIRTUAL TABLE INDEX"
	}
	if !strings.Contains(plan, want) {
		return fmt.Errorf("want %s", want)
	}
	for line := range strings.Lines(plan) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "SEARCH e ") && !strings.Contains(line, want) && !strings.HasSuffix(line, "PRIMARY KEY (rowid=?)") || strings.HasPrefix(line, "SCAN e") {
			return fmt.Errorf("not by its index: %s", line)
		}
	}
	return nil
}

func followsOnPostgres(plan, columns string) error {
	want := "Index Cond: ((ROW(" + columns + ", seq) >= "
	switch columns {
	case "":
		want = "Index Scan Backward using execution_pkey on execution e\n  "
	case "word":
		want = "Bitmap Index Scan on execution_words"
	}
	if !strings.Contains(plan, want) {
		return fmt.Errorf("want %s", want)
	}
	if strings.Contains(plan, "JIT:") {
		return errors.New("it is compiled, which takes longer than to run it")
	}
	for line := range strings.Lines(plan) {
		line = strings.TrimSpace(line)
		condition, looksAt := strings.CutPrefix(line, "Filter: ")
		if looksAt && columns != "word" && columns != "parent" && columns != "rollback_of" && !strings.HasPrefix(condition, "(created ") && !strings.HasPrefix(condition, "((created ") {
			return fmt.Errorf("not by its index alone: %s", line)
		}
		if strings.Contains(line, "Seq Scan") || strings.Contains(line, "Index Cond") && columns != "" && columns != "word" && !strings.Contains(line, want) && !strings.HasPrefix(line, "Index Cond: (seq = ANY") {
			return fmt.Errorf("not by its index: %s", line)
		}
	}
	return nil
}

// fillSome has a store keep n executions that have ended.
func fillSome(t *testing.T, s store.Store, n int) {
	t.Helper()
	session, err := s.Join(t.Context(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	var batch []*execution.Change
	for i := range n {
		status := execution.Succeeded
		if i%10 == 0 {
			status = execution.Terminal
		}
		h := execution.Head{ID: fmt.Sprintf("x%05d", i), Application: fmt.Sprint("app", i%20), Pipeline: []string{"main", "night"}[i%3%2], Status: status, Plan: "p",
			Created: at.Add(time.Duration(i-n) * time.Second), Ended: &at, Request: execution.HeadRequest{V: 1, By: "ann"}, State: execution.HeadState{V: 1}}
		batch = append(batch, &execution.Change{ID: h.ID, Epoch: 1, Create: &execution.Creation{Head: h, PlanData: []byte(`{"v":1}`)}})
	}
	if err := session.Commit(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if err := session.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
}
