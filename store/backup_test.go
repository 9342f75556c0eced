package store_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"showrunner/cloud/journal"
	"showrunner/execution"
	"showrunner/problem"
	"showrunner/stage"
	"showrunner/store"
	"showrunner/store/record"
)

// someBackup is a backup with rows in every table.
func someBackup(t testing.TB, kind string) []byte {
	t.Helper()
	s := open(t, address(t, kind))
	session, err := s.Join(t.Context(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	at := time.UnixMilli(1).UTC()
	var changes []*execution.Change
	for i := range 30 {
		h := execution.Head{ID: fmt.Sprintf("x%02d", i), Application: "shop", Pipeline: "main", Status: execution.Running, Plan: "p", Created: at,
			Request: execution.HeadRequest{V: 1, By: "ann", TriggerID: "push", EventID: fmt.Sprint(i)}, State: execution.HeadState{V: 1}}
		changes = append(changes, &execution.Change{ID: h.ID, Epoch: 1, Create: &execution.Creation{Head: h, PlanData: []byte(`{"v":1}`)},
			Stages: []execution.StageRow{{Index: 0, Data: []byte(`{"n":1}`), Wake: at}}, Events: []record.Event{{Time: at, Type: "execution.started", Execution: h.ID}}})
	}
	changes = append(changes, &execution.Change{ID: "x00", Epoch: 1, Mail: []execution.Mail{{Execution: "x00", Stage: "s", Signal: stage.Signal{ID: "m"}}}})
	if err := session.Commit(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutRecord(t.Context(), record.Record{Collection: "c", Key: "k", Data: json.RawMessage(`{"größe":"\"<&>"}`)}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.BeginOperation(t.Context(), journal.ID{Account: "local", Key: "k"}, journal.Request{Operation: "create", Fingerprint: "f"}); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := s.Backup(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// damages are what can happen to a file: flipped bits all over it, and lines that
// are missing, doubled, or in another order.
func damages(t testing.TB, backup []byte, flips int) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	random := rand.New(rand.NewPCG(1, 2))
	step := max(1, len(backup)/flips)
	for at := 0; at < len(backup); at += step {
		place := min(at+random.IntN(step), len(backup)-1)
		bad := bytes.Clone(backup)
		bad[place] ^= 1 << random.IntN(8)
		all[fmt.Sprintf("byte %d of %d became %q", place, len(backup), bad[place])] = bad
	}
	lines := bytes.SplitAfter(backup, []byte("\n"))
	lines = lines[:len(lines)-1]
	for i := 0; i < len(lines); i += max(1, len(lines)*20/flips) {
		cut := append(bytes.Join(lines[:i], nil), bytes.Join(lines[i+1:], nil)...)
		all[fmt.Sprintf("line %d is missing", i+1)] = cut
		all[fmt.Sprintf("line %d comes twice", i+1)] = bytes.Join([][]byte{bytes.Join(lines[:i+1], nil), lines[i], bytes.Join(lines[i+1:], nil)}, nil)
		all[fmt.Sprintf("it ends with line %d", i)] = bytes.Join(lines[:i], nil)
	}
	all["something follows"] = append(bytes.Clone(backup), '\n')
	return all
}

var namesThePart = regexp.MustCompile(`line \d+|first line`)

// TestADamagedBackupIsRefused: whatever is damaged, the error says where, and
// nothing is restored.
func TestADamagedBackupIsRefused(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			backup := someBackup(t, kind)
			if summary, err := store.VerifyBackup(bytes.NewReader(backup)); err != nil || !summary.Checked || summary.Rows < 120 {
				t.Fatal(summary, err)
			}
			for what, bad := range damages(t, backup, 4000) {
				_, err := store.VerifyBackup(bytes.NewReader(bad))
				if problem.CodeOf(err) != problem.Invalid && problem.CodeOf(err) != problem.Precondition || !namesThePart.MatchString(err.Error()) {
					t.Errorf("%s: %v", what, err)
				}
			}
			for what, bad := range damages(t, backup, 60) {
				at := filepath.Join(t.TempDir(), "db")
				if err := store.Restore(t.Context(), at, bytes.NewReader(bad), store.Options{}); err == nil {
					t.Errorf("restored: %s", what)
				}
				if _, err := os.Stat(at + ".restoring"); !os.IsNotExist(err) {
					t.Errorf("%s: what was begun is still there: %v", what, err)
				}
			}
			if kind == "sqlite" {
				return
			}
			at := address(t, kind)
			bad := bytes.Clone(backup)
			bad[len(bad)-30] ^= 1
			if err := store.Restore(t.Context(), at, bytes.NewReader(bad), store.Options{}); problem.CodeOf(err) != problem.Invalid {
				t.Error(err)
			}
			if err := store.Restore(t.Context(), at, bytes.NewReader(backup), store.Options{}); err != nil {
				t.Error("after a damaged one:", err)
			}
		})
	}
}

// TestABackupOfAnEarlierVersion has no checksums, and is restored all the same.
func TestABackupOfAnEarlierVersion(t *testing.T) {
	backup := regexp.MustCompile(`,"c":"[0-9a-f]{8}"}\n`).ReplaceAll(someBackup(t, "sqlite"), []byte("}\n"))
	if _, err := store.VerifyBackup(bytes.NewReader(backup)); problem.CodeOf(err) != problem.Invalid {
		t.Fatal("a backup of this version without checksums:", err)
	}
	backup = bytes.Replace(backup, []byte(`"schema":7`), []byte(`"schema":5`), 1)
	summary, err := store.VerifyBackup(bytes.NewReader(backup))
	if err != nil || summary.Checked {
		t.Fatal(summary, err)
	}
	at := address(t, "sqlite")
	if err := store.Restore(t.Context(), at, bytes.NewReader(backup), store.Options{}); err != nil {
		t.Fatal(err)
	}
	if snap, err := open(t, at).Load(t.Context(), "x29"); err != nil || len(snap.Stages) != 1 {
		t.Fatal(snap, err)
	}
}
