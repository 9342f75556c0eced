package balancer

import (
	"net/http"
	"time"

	"showrunner/cloud/localcloud/proxy"
)

// Choose is the choice alone: a hundred thousand of them are quick.
func (b *Balancer) Choose(name string) (string, error) {
	t, _, err := b.choose(name, &proxy.Call{Request: &http.Request{}}, nil, time.Now())
	if err != nil {
		return "", err
	}
	t.release()
	return t.id, nil
}

// WithClock has the test start the clocks of ResponseTimeout.
func (c Config) WithClock(after func(time.Duration, func()) *time.Timer) Config {
	c.after = after
	return c
}
