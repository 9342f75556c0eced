package control

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"showrunner/cloud"
	"showrunner/cloud/cloudtest/memcloud"
	"showrunner/pipeline"
	"showrunner/problem"
)

// hung is a cloud with a region that takes calls and answers none.
type hung struct {
	*memcloud.Cloud
	region string
}

func (h hung) ServerGroups(ctx context.Context, region, cluster string) ([]cloud.ServerGroup, error) {
	if region == h.region {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	return h.Cloud.ServerGroups(ctx, region, cluster)
}

// A region that hangs is told to be unreachable, and not waited for.
func TestClustersDoNotWaitForAHungRegion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := memcloud.New(memcloud.Config{Regions: []string{"a", "b"}})
		if _, err := m.CreateServerGroup(t.Context(), "a", cloud.ServerGroupSpec{Cluster: "shop", Version: "1", Workload: cloud.Workload{Process: &cloud.Process{Artifact: "sha256:1", Command: []string{"./shop"}}}, Health: pipeline.Health{Path: "/"}, Capacity: pipeline.Capacity{Desired: 1}}, "key"); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		found, err := observe(t.Context(), cloud.NewAccount("local", hung{m, "b"}, cloud.Options{}), "")
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > answerWithin {
			t.Errorf("it took %s", took)
		}
		list := found.clusters
		if len(list) != 1 || len(list[0].Groups) != 1 || !strings.Contains(list[0].Unreachable["b"], "not answered within") {
			t.Errorf("%+v", list)
		}
	})
}

// Why a region is unreachable is the region's own sentence: without operations, and without
// the socket that was tried.
func TestWhyARegionIsUnreachable(t *testing.T) {
	dial := &url.Error{Op: "Get", URL: "http://region/x", Err: errors.New("dial unix /run/a.sock: no such file")}
	asked := func(err error) error {
		return problem.Wrap(err, "", "cloud.server-groups", "reading server groups in a")
	}
	for want, err := range map[string]error{
		"region a does not answer":      asked(problem.Wrap(dial, problem.Unavailable, "rpc.call", "region a does not answer")),
		"it has not answered within 2s": asked(problem.Wrap(errors.New("it has not answered within 2s"), problem.Unavailable, "rpc.call", "region a")),
		"the store is full":             asked(problem.New(problem.Unavailable, "x", "the store is full")),
		"plain":                         errors.New("plain"),
	} {
		if got := unreachableText(err); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
