package execution

import "sync"

// planCache keeps compiled definitions; when it is full, a part of it goes.
type planCache struct {
	mu  sync.Mutex
	max int
	m   map[string]*plan
}

func (c *planCache) get(digest string) *plan {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m[digest]
}

func (c *planCache) put(p *plan) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = map[string]*plan{}
	}
	if len(c.m) >= c.max {
		for k := range c.m { // the map's order is chance enough
			delete(c.m, k)
			if len(c.m) < c.max/2 {
				break
			}
		}
	}
	c.m[p.digest] = p
}
