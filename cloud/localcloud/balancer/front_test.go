package balancer_test

import (
	"testing"
	"time"

	"showrunner/cloud/localcloud/balancer"
	"showrunner/cloud/localcloud/proxy/proxytest"
)

func TestFront(t *testing.T) { proxytest.Run(t, openFront) }

func TestExhaustion(t *testing.T) { proxytest.Exhaustion(t, "TestExhaustion", openFront) }

func openFront(t *testing.T, instance string) string {
	b, address := start(t, balancer.Config{Patience: 10 * time.Millisecond})
	b.SetCluster(shop(balancer.Target{ID: "a", Address: instance}))
	return address
}
