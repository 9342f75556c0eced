package storetest

import (
	"reflect"
	"testing"
	"time"

	"showrunner/cloud/journal"
)

var (
	operationID = journal.ID{Account: "local", Region: "us-west-2", Key: "x001/deploy/1/create"}
	creation    = journal.Request{Operation: "create", Fingerprint: "f1"}
)

// begin begins an operation and compares the answer.
func (f *fixture) begin(id journal.ID, r journal.Request, want journal.Entry, wantCreated bool) {
	f.t.Helper()
	e, created, err := f.store.BeginOperation(f.t.Context(), id, r)
	if err != nil || created != wantCreated || !reflect.DeepEqual(e, want) {
		f.t.Fatalf("%+v, created %t, %v; want %+v, created %t", e, created, err, want, wantCreated)
	}
}

func (f *fixture) finish(id journal.ID, r journal.Request, answer string) {
	f.t.Helper()
	if err := f.store.FinishOperation(f.t.Context(), id, r, []byte(answer)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) drop(id journal.ID) {
	f.t.Helper()
	if err := f.store.DropOperation(f.t.Context(), id); err != nil {
		f.t.Fatal(err)
	}
}

func testOperations(t *testing.T, f *fixture) {
	pending := journal.Entry{Request: creation}
	done := journal.Entry{Request: creation, Done: true, Answer: []byte(`{"name":"v000"}`)}
	f.begin(operationID, creation, pending, true)
	f.begin(operationID, creation, pending, false)
	f.begin(operationID, journal.Request{Operation: "destroy", Fingerprint: "f2"}, pending, false)
	for _, other := range []journal.ID{
		{Account: "aws", Region: operationID.Region, Key: operationID.Key}, {Account: "local", Key: operationID.Key},
		{Account: "local", Region: operationID.Region, Key: "x001/deploy/2/create"},
	} {
		f.begin(other, creation, pending, true)
	}
	f.drop(operationID)
	f.begin(operationID, creation, pending, true)
	f.finish(operationID, creation, string(done.Answer))
	f.begin(operationID, creation, done, false)
	f.drop(operationID) // it is done
	f.finish(operationID, creation, `"another answer"`)
	f.begin(operationID, creation, done, false)
	missing := journal.ID{Account: "local", Region: "eu-west-1", Key: "k"}
	f.finish(missing, creation, string(done.Answer)) // another call had it refused, and dropped it
	f.begin(missing, creation, done, false)
}

func testForgetOperations(t *testing.T, f *fixture) {
	ids := make([]journal.ID, 1203)
	for i := range ids {
		ids[i] = journal.ID{Account: "local", Key: string(rune('a'+i%26)) + time.Duration(i).String()}
		f.begin(ids[i], creation, journal.Entry{Request: creation}, true)
	}
	f.finish(ids[0], creation, "null")
	forget := func(before time.Time, want int) {
		t.Helper()
		if n, err := f.store.ForgetOperations(t.Context(), before); err != nil || n != want {
			t.Fatalf("%d were forgotten (%v), want %d", n, err, want)
		}
	}
	forget(time.Now().Add(-time.Hour), 0)
	f.begin(ids[0], creation, journal.Entry{Request: creation, Done: true, Answer: []byte("null")}, false)
	forget(time.Now().Add(time.Hour), len(ids))
	f.begin(ids[0], creation, journal.Entry{Request: creation}, true)
}
