package control

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"showrunner/cloud"
	"showrunner/cloud/cloudtest/memcloud"
	"showrunner/pipeline"
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

// A region that hangs is told to be away, and not waited for.
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
		if len(list) != 1 || len(list[0].Groups) != 1 || !strings.Contains(list[0].Away["b"], "not answered within") {
			t.Errorf("%+v", list)
		}
	})
}
