package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"showrunner/cloud/journal"
	"showrunner/store"
)

const (
	journalDie     = "SHOWRUNNER_JOURNAL_DIE" // the moment at which the child kills itself
	journalAddress = "SHOWRUNNER_JOURNAL_ADDRESS"
	journalEffects = "SHOWRUNNER_JOURNAL_EFFECTS"
)

var (
	journalID      = journal.ID{Account: "local", Region: "us-west-2", Key: "x/deploy/1/create"}
	journalRequest = journal.Request{Operation: "create", Fingerprint: "f"}
)

// dying is a journal's store in a process that kills itself at a moment.
type dying struct {
	journal.Store
	moment string
}

func (d dying) at(moment string) {
	if d.moment == moment {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

func (d dying) BeginOperation(ctx context.Context, id journal.ID, r journal.Request) (journal.Entry, bool, error) {
	d.at("before the intent")
	defer d.at("after the intent")
	return d.Store.BeginOperation(ctx, id, r)
}

func (d dying) FinishOperation(ctx context.Context, id journal.ID, r journal.Request, answer []byte) error {
	d.at("after the effect")
	defer d.at("after the answer")
	return d.Store.FinishOperation(ctx, id, r, answer)
}

// createGroup is a driver that knows what it created by the key, in a file: it
// looks there only when it is told that it may have been asked before.
func createGroup(effects string) journal.Act[string] {
	return func(_ context.Context, again bool) (string, error) {
		line := journalID.Key + "\n"
		if again {
			made, err := os.ReadFile(effects)
			if err != nil && !errors.Is(err, os.ErrNotExist) || strings.Contains(string(made), line) {
				return "v000", err
			}
		}
		f, err := os.OpenFile(effects, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = f.WriteString(line)
			err = errors.Join(err, f.Close())
		}
		return "v000", err
	}
}

// journalChild does the work of the child of TestAKillBetweenIntentAndAnswer.
func journalChild() {
	moment := os.Getenv(journalDie)
	if moment == "" {
		return
	}
	s, err := store.Open(context.Background(), os.Getenv(journalAddress), store.Options{})
	if err == nil {
		_, err = journal.Do(context.Background(), journal.New(dying{s, moment}), journalID, journalRequest, createGroup(os.Getenv(journalEffects)))
	}
	fmt.Fprintln(os.Stderr, "the child was not killed:", err)
	os.Exit(1)
}

// TestAKillBetweenIntentAndAnswer kills a process at each moment of an operation.
// The next process that uses the key gets the same answer, and the change happens
// once.
func TestAKillBetweenIntentAndAnswer(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		for _, moment := range []string{"before the intent", "after the intent", "after the effect", "after the answer"} {
			t.Run(kind+" "+moment, func(t *testing.T) {
				at, effects := address(t, kind), filepath.Join(t.TempDir(), "effects")
				child := exec.Command(os.Args[0])
				child.Env = append(os.Environ(), journalDie+"="+moment, journalAddress+"="+at, journalEffects+"="+effects)
				out, err := child.CombinedOutput()
				var exit *exec.ExitError
				if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
					t.Fatalf("the child ended with %v\n%s", err, out)
				}
				j := journal.New(open(t, at))
				for range 2 {
					if answer, err := journal.Do(t.Context(), j, journalID, journalRequest, createGroup(effects)); err != nil || answer != "v000" {
						t.Fatal(answer, err)
					}
				}
				made, err := os.ReadFile(effects)
				if n := strings.Count(string(made), "\n"); err != nil || n != 1 {
					t.Errorf("the change happened %d times (%v)", n, err)
				}
			})
		}
	}
}
