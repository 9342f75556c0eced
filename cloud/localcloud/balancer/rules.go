package balancer

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"

	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/proxy"
)

// Rules say where the requests of a load balancer's hosts go.
type Rules struct {
	Name  string
	Hosts []string          // in lower case, without ".localhost"
	Pools map[string]string // the cluster of each pool
	Rules []driver.BalancerRule
}

// SetRules replaces a load balancer's rules atomically.
func (b *Balancer) SetRules(r Rules) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(r.Name)
	for _, h := range r.Hosts {
		b.rules[h] = &r
	}
}

// RemoveRules forgets a load balancer.
func (b *Balancer) RemoveRules(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(name)
}

// forget removes a load balancer's hosts. The balancer is locked.
func (b *Balancer) forget(name string) {
	for h, r := range b.rules {
		if r.Name == name {
			delete(b.rules, h)
		}
	}
}

// ruled carries a request to a load balancer's host out: by the instances of a
// pool, or by itself. found is false for other hosts.
func (b *Balancer) ruled(r *http.Request) (service proxy.Service, handler http.Handler, found bool) {
	b.mu.RLock()
	rules := b.rules[hostName(r.Host)]
	b.mu.RUnlock()
	if rules == nil {
		return nil, nil, false
	}
	at := urlOf(r)
	for _, rule := range rules.Rules {
		if !slices.ContainsFunc(rule.Conditions, func(c driver.BalancerCondition) bool { return !b.meets(r, at, c) }) {
			service, handler = b.carryOut(rules, rule)
			return service, handler, true
		}
	}
	return nil, answering(driver.FixedAnswer{Status: http.StatusNotFound, Type: "text/plain", Body: "No rule of this load balancer matches.\n"}), true
}

func (b *Balancer) carryOut(rules *Rules, rule driver.BalancerRule) (proxy.Service, http.Handler) {
	switch {
	case rule.Answer != nil:
		return nil, answering(*rule.Answer)
	case rule.Redirect != nil:
		return nil, redirecting(*rule.Redirect)
	}
	total := 0.0
	for _, share := range rule.Forward {
		total += share.Weight
	}
	at := rand.Float64() * total
	for _, share := range rule.Forward {
		if at -= share.Weight; at < 0 {
			if c := b.cluster(rules.Pools[share.Pool]); c != nil {
				return c, nil
			}
			break
		}
	}
	return nil, answering(driver.FixedAnswer{Status: http.StatusServiceUnavailable, Type: "text/plain", Body: "No target group takes this request.\n"})
}

func answering(a driver.FixedAnswer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.Type != "" {
			w.Header().Set("Content-Type", a.Type)
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(a.Status)
		if r.Method != http.MethodHead {
			_, _ = w.Write([]byte(a.Body)) // the client may have gone
		}
	})
}

func redirecting(to driver.Redirect) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := urlOf(r)
		host, port, err := net.SplitHostPort(r.Host)
		if err != nil {
			host, port = r.Host, "80"
		}
		fill := strings.NewReplacer("#{protocol}", "http", "#{host}", host, "#{port}", port, "#{path}", strings.TrimPrefix(asked.EscapedPath(), "/"), "#{query}", asked.RawQuery)
		part := func(text, otherwise string) string {
			if text == "" {
				return otherwise
			}
			return fill.Replace(text)
		}
		protocol, port := strings.ToLower(part(to.Protocol, "http")), part(to.Port, port)
		at := part(to.Host, host)
		if !(protocol == "http" && port == "80" || protocol == "https" && port == "443") {
			at = net.JoinHostPort(at, port)
		}
		target := fmt.Sprintf("%s://%s%s", protocol, at, part(to.Path, asked.EscapedPath()))
		if q := part(to.Query, asked.RawQuery); q != "" {
			target += "?" + q
		}
		w.Header().Set("Location", target)
		w.WriteHeader(to.Status)
	})
}

// urlOf is what a request asks for. The front leaves plain paths unread.
func urlOf(r *http.Request) *url.URL {
	if r.URL != nil && r.URL.Path != "" {
		return r.URL
	}
	if u, err := url.ParseRequestURI(r.RequestURI); err == nil {
		return u
	}
	return &url.URL{Path: "/"}
}

// meets says whether a request for at meets a condition.
func (b *Balancer) meets(r *http.Request, at *url.URL, c driver.BalancerCondition) bool {
	any := func(value string) bool {
		return slices.ContainsFunc(c.Values, func(p string) bool { return like(p, value) })
	}
	switch c.On {
	case driver.ConditionHost:
		host, _, _ := strings.Cut(strings.ToLower(r.Host), ":")
		return slices.ContainsFunc(c.Values, func(p string) bool { return like(strings.ToLower(p), host) })
	case driver.ConditionPath:
		return any(at.Path)
	case driver.ConditionMethod:
		return slices.Contains(c.Values, r.Method)
	case driver.ConditionHeader:
		return slices.ContainsFunc(r.Header.Values(c.Name), any)
	case driver.ConditionQuery:
		return slices.ContainsFunc(c.Values, func(v string) bool { return asks(at.Query(), v) })
	case driver.ConditionSource:
		address, err := netip.ParseAddr(b.source(r))
		return err == nil && slices.ContainsFunc(c.Values, func(v string) bool {
			p, err := netip.ParsePrefix(v)
			return err == nil && p.Contains(address.Unmap())
		})
	}
	return false
}

// asks says whether a query has a pair: key=value, or =value for any key.
func asks(q url.Values, pair string) bool {
	key, value, _ := strings.Cut(pair, "=")
	for k, values := range q {
		if (key == "" || like(strings.ToLower(key), strings.ToLower(k))) && slices.ContainsFunc(values, func(v string) bool { return like(value, v) }) {
			return true
		}
	}
	return false
}

// source is the client's address: as our edge says it, else the connection's.
func (b *Balancer) source(r *http.Request) string {
	if said := r.Header.Values("X-Forwarded-For"); len(said) > 0 && b.trusts(r) {
		chain := strings.Split(said[len(said)-1], ",")
		return strings.TrimSpace(chain[len(chain)-1])
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// like says whether a value is as a pattern says, in which * stands for any
// characters and ? for one.
func like(pattern, value string) bool {
	// A path's separators are ordinary characters here, and brackets and backslashes too.
	plain := strings.NewReplacer("/", "\x00", "[", "\\[", "\\", "\\\\")
	ok, err := path.Match(plain.Replace(pattern), strings.ReplaceAll(value, "/", "\x00"))
	return err == nil && ok
}
