package balancer_test

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"showrunner/cloud/localcloud/balancer"
)

// An instance that answers nothing but errors, and quickly, looks idle: it must
// not draw the requests of those that work.
func TestErrorsTakeAnInstanceOutOfTheChoice(t *testing.T) {
	var asked atomic.Int64
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		http.Error(w, "broken", http.StatusInternalServerError)
	}))
	defer bad.Close()
	b, address := start(t, balancer.Config{OnEject: func(id, why string) { t.Errorf("%s is reported: %s", id, why) }})
	set := func(targets ...balancer.Target) {
		b.SetCluster(balancer.Cluster{Name: "shop", Groups: []balancer.Group{{Name: "g", Weight: 1, Targets: targets}}})
	}
	set(target("bad", bad), target("good", backend(t, "good")))
	for asked.Load() < 5 {
		ask(t, http.MethodGet, address, "")
	}
	for range 20 {
		if status, body, _ := ask(t, http.MethodGet, address, ""); status != http.StatusOK || body != "good" {
			t.Fatalf("%d %s", status, body)
		}
	}
	// Alone, it is still asked: its own answer says more than ours.
	set(target("bad", bad))
	if status, _, _ := ask(t, http.MethodGet, address, ""); status != http.StatusInternalServerError {
		t.Errorf("alone: %d", status)
	}
}

func TestTheLessBusyIsChosen(t *testing.T) {
	entered, leave := make(chan bool), make(chan bool)
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		entered <- true
		<-leave
		io.WriteString(w, "slow")
	}))
	defer slow.Close()
	b, address := start(t, balancer.Config{})
	b.SetCluster(balancer.Cluster{Name: "shop", Groups: []balancer.Group{{Name: "g", Weight: 1, Targets: []balancer.Target{target("slow", slow)}}}})
	var waiting sync.WaitGroup
	waiting.Go(func() { ask(t, http.MethodGet, address, "") })
	<-entered
	b.SetCluster(balancer.Cluster{Name: "shop", Groups: []balancer.Group{{Name: "g", Weight: 1, Targets: []balancer.Target{target("slow", slow), target("free", backend(t, "free"))}}}})
	for range 50 {
		if _, body, _ := ask(t, http.MethodGet, address, ""); body != "free" {
			t.Fatalf("answered by %s", body)
		}
	}
	close(leave)
	waiting.Wait()
}

// One percent is one percent, over a hundred thousand requests.
func TestOnePercent(t *testing.T) {
	b := balancer.New(balancer.Config{})
	instance := handler(t, func(http.ResponseWriter, *http.Request) {})
	canary := instance
	canary.ID = "canary"
	b.SetCluster(balancer.Cluster{Name: "shop", Groups: []balancer.Group{
		{Name: "shop-v001", Weight: 99, Targets: []balancer.Target{instance}}, {Name: "shop-v002", Weight: 1, Targets: []balancer.Target{canary}},
	}})
	const n = 100_000
	seen := 0
	for range n {
		if id, err := b.Choose("shop"); err != nil {
			t.Fatal(err)
		} else if id == "canary" {
			seen++
		}
	}
	// Five standard deviations of a binomial with p = 0.01.
	if most := 5 * math.Sqrt(n*0.01*0.99); math.Abs(float64(seen)-n/100) > most {
		t.Errorf("%d of %d, at most %.0f away from %d", seen, n, most, n/100)
	}
}

// A new version comes while requests are under way: the table that they look at stays as it is.
func TestGroupsComeAndGoUnderLoad(t *testing.T) {
	b := balancer.New(balancer.Config{})
	old := balancer.Group{Name: "old", Weight: 1, Targets: []balancer.Target{{ID: "a", Address: "127.0.0.1:1"}}}
	b.SetCluster(balancer.Cluster{Name: "shop", Groups: []balancer.Group{old}})
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := b.Choose("shop"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := range 2000 {
		b.SetCluster(balancer.Cluster{Name: "shop", Groups: []balancer.Group{old, {Name: fmt.Sprint("v", n), Targets: []balancer.Target{{ID: "b", Address: "127.0.0.1:2"}}}}})
	}
	close(done)
	wg.Wait()
}
