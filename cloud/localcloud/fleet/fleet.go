package fleet

import (
	"context"
	"net/http"
	"sync"
)

// Fleet is one region's server groups. It implements driver.Fleet, Watcher,
// Logs and Operator for its own region.
type Fleet struct {
	config Config
	mu     sync.Mutex
}

// New opens the region's record and starts what it says.
func New(config Config) (*Fleet, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Fleet{config: config}, nil
}

// Handler serves the fleet's operations under /fleet/ to a Client.
func (f *Fleet) Handler() http.Handler { return http.NewServeMux() }

// Eject takes the balancer's word that an instance does not answer as it should:
// it counts as one failed check and the next check comes at once.
func (f *Fleet) Eject(instanceID, reason string) {}

// Resolve names the cluster that serves a host's first label: the application's
// only or oldest cluster, "" when there is none.
func (f *Fleet) Resolve(name string) string { return "" }

// Close stops every instance, gracefully until ctx ends, and then the fleet.
func (f *Fleet) Close(ctx context.Context) error { return nil }
