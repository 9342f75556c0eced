package awstest

import (
	"log/slog"
	"testing"
	"time"

	"showrunner/artifact"
	"showrunner/cloud"
	"showrunner/cloud/cloudtest/memcloud"
	"showrunner/control"
	"showrunner/problem"
	"showrunner/store/record/recordtest"
)

// Fleet is a cloud in memory behind the operations, for tests of services that run
// instances.
type Fleet struct {
	Cloud     *memcloud.Cloud
	Groups    *control.Groups
	Artifacts *artifact.Store
}

// accounts has one account.
type accounts struct{ local *cloud.Account }

func (a accounts) Account(name string) (*cloud.Account, error) {
	if name != control.DefaultAccount {
		return nil, problem.New(problem.NotFound, "account", "there is no account %q", name)
	}
	return a.local, nil
}

func (a accounts) Names() []string { return []string{control.DefaultAccount} }

// NewFleet makes a cloud over records.
func NewFleet(t *testing.T, records *recordtest.Records, now func() time.Time) *Fleet {
	t.Helper()
	store, err := artifact.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	mem := memcloud.New(memcloud.Config{Regions: []string{Region}, Now: now})
	f := &Fleet{Cloud: mem, Artifacts: store}
	f.Groups = f.Control(t, records, now)
	return f
}

// Control is another control plane of the same cloud, over records.
func (f *Fleet) Control(t *testing.T, records *recordtest.Records, now func() time.Time) *control.Groups {
	t.Helper()
	local := cloud.NewAccount(control.DefaultAccount, f.Cloud, cloud.Options{Now: now})
	service := control.New(control.Deps{Records: records, Accounts: accounts{local}, Artifacts: f.Artifacts, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: now})
	return service.Groups(control.Principal{Name: "owner", Owner: true})
}
