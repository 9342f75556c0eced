package sites

import (
	"html"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Headers that name the region and the deployment of an answer.
const (
	HeaderDeployment  = "X-Showrunner-Deployment"
	HeaderRegion      = "X-Showrunner-Region"
	HeaderUnknownHost = "X-Showrunner-Unknown-Host"
)

// ServeHTTP answers visitors as S3's website endpoints do: index documents of
// folders, a redirect to a folder's name with a slash, and the error document
// with status 404. Like a good web server it also supports conditions, ranges,
// and objects that are stored compressed (x.js.br, x.js.gz) for clients that
// accept them.
func (s *Sites) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set(HeaderRegion, s.config.Region)
	header.Set("X-Content-Type-Options", "nosniff")
	h, ok := s.snapshot(r.Context(), siteName(r.Host))
	if !ok {
		header.Set(HeaderUnknownHost, "1")
		refuse(w, r, http.StatusNotFound, "No site or service has this name.")
		return
	}
	if h.site != nil {
		header.Set(HeaderDeployment, h.view.latest)
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		refuse(w, r, http.StatusMethodNotAllowed, "A website answers GET and HEAD.")
		return
	}
	if h.redirected(w, r) {
		return
	}
	key := strings.TrimPrefix(r.URL.Path, "/")
	if key == "" || strings.HasSuffix(key, "/") {
		key += h.document()
	}
	c := h.open(key)
	if c == nil {
		h.missing(w, r, key)
		return
	}
	if to := c.attributes.Redirect; to != "" {
		c.Close()
		http.Redirect(w, r, to, http.StatusMovedPermanently)
		return
	}
	c = h.encoded(w, r, key, c)
	defer c.Close()
	c.describe(header)
	if c.attributes.ContentEncoding != "" {
		// ServeContent leaves the length of encoded content to its caller.
		header.Set("Content-Length", strconv.FormatInt(c.size, 10))
	}
	http.ServeContent(w, r, "", c.modified, c.File)
}

// describe sets the headers from the object's attributes.
func (c *content) describe(header http.Header) {
	a := c.attributes
	set := func(name, value string) {
		if value != "" {
			header.Set(name, value)
		}
	}
	set("Content-Type", a.ContentType)
	set("Content-Encoding", a.ContentEncoding)
	set("Content-Disposition", a.Disposition)
	set("Content-Language", a.Language)
	set("Expires", a.Expires)
	set("Cache-Control", a.CacheControl)
	set("ETag", a.ETag)
	set(HeaderDeployment, c.deployment)
}

// encoded chooses between an object and its stored compressed forms.
func (h *siteSnapshot) encoded(w http.ResponseWriter, r *http.Request, key string, c *content) *content {
	if c.attributes.ContentEncoding != "" {
		return c
	}
	accepts, varies := acceptEncoding(r.Header.Values("Accept-Encoding")), false
	for _, e := range []struct{ name, suffix string }{{"br", ".br"}, {"gzip", ".gz"}} {
		if !h.has(key + e.suffix) {
			continue
		}
		varies = true
		if !accepts(e.name) {
			continue
		}
		if v := h.open(key + e.suffix); v != nil {
			w.Header().Add("Vary", "Accept-Encoding")
			v.attributes.ContentType, v.attributes.ContentEncoding = c.attributes.ContentType, e.name
			v.attributes.CacheControl = c.attributes.CacheControl
			c.Close()
			return v
		}
	}
	if varies {
		w.Header().Add("Vary", "Accept-Encoding")
	}
	return c
}

// acceptEncoding reads Accept-Encoding (RFC 9110, 12.5.3).
func acceptEncoding(values []string) func(string) bool {
	quality := map[string]float64{}
	for _, item := range strings.Split(strings.Join(values, ","), ",") {
		name, parameters, _ := strings.Cut(item, ";")
		name = strings.ToLower(strings.TrimSpace(name))
		q := 1.0
		if k, v, ok := strings.Cut(parameters, "="); ok && strings.EqualFold(strings.TrimSpace(k), "q") {
			var err error
			if q, err = strconv.ParseFloat(strings.TrimSpace(v), 64); err != nil {
				q = 0
			}
		}
		if name != "" {
			quality[name] = q
		}
	}
	return func(name string) bool {
		if q, ok := quality[name]; ok {
			return q > 0
		}
		return quality["*"] > 0
	}
}

// redirected carries out the redirects of a website configuration that precede
// any lookup of an object.
func (h *siteSnapshot) redirected(w http.ResponseWriter, r *http.Request) bool {
	if h.plain.WebsiteConfiguration == nil {
		return false
	}
	key := strings.TrimPrefix(r.URL.Path, "/")
	if all := h.plain.RedirectAllRequestsTo; all != nil {
		to := url.URL{Scheme: or(all.Protocol, "http"), Host: all.HostName, Path: "/" + key, RawQuery: r.URL.RawQuery}
		http.Redirect(w, r, to.String(), http.StatusMovedPermanently)
		return true
	}
	rule := h.plain.MatchPrefetchRoutingRule(key)
	if rule == nil || rule.Redirect == nil {
		return false
	}
	prefix := ""
	if rule.Condition != nil {
		prefix = rule.Condition.KeyPrefixEquals
	}
	redirectByRule(w, r, key, prefix, rule.Redirect.HostName, rule.Redirect.Protocol, rule.Redirect.HttpRedirectCode,
		rule.Redirect.ReplaceKeyWith, rule.Redirect.ReplaceKeyPrefixWith)
	return true
}

func redirectByRule(w http.ResponseWriter, r *http.Request, key, prefix, host, protocol, code, with, prefixWith string) {
	switch {
	case with != "":
		key = with
	case prefixWith != "":
		key = prefixWith + strings.TrimPrefix(key, prefix)
	}
	status, err := strconv.Atoi(code)
	if err != nil {
		status = http.StatusMovedPermanently
	}
	to := url.URL{Scheme: or(protocol, "http"), Host: or(host, r.Host), Path: "/" + key, RawQuery: r.URL.RawQuery}
	http.Redirect(w, r, to.String(), status)
}

// missing answers for a key that does not exist.
func (h *siteSnapshot) missing(w http.ResponseWriter, r *http.Request, key string) {
	if h.folder(key) {
		to := url.URL{Path: "/" + key + "/", RawQuery: r.URL.RawQuery}
		w.Header().Set("Cache-Control", cacheNever)
		http.Redirect(w, r, to.String(), http.StatusFound)
		return
	}
	if h.plain.WebsiteConfiguration != nil {
		if rule := h.plain.MatchPostErrorRoutingRule(key, http.StatusNotFound); rule != nil && rule.Redirect != nil {
			prefix := ""
			if rule.Condition != nil {
				prefix = rule.Condition.KeyPrefixEquals
			}
			redirectByRule(w, r, key, prefix, rule.Redirect.HostName, rule.Redirect.Protocol, rule.Redirect.HttpRedirectCode,
				rule.Redirect.ReplaceKeyWith, rule.Redirect.ReplaceKeyPrefixWith)
			return
		}
	}
	status := http.StatusNotFound
	if h.site == nil && !h.plain.Public(key) {
		status = http.StatusForbidden
	}
	document := h.errorDocument()
	if document == "" {
		refuse(w, r, status, "There is no such page.")
		return
	}
	c := h.open(document)
	if c == nil {
		refuse(w, r, status, "There is no such page.")
		return
	}
	c = h.encoded(w, r, document, c)
	defer c.Close()
	c.describe(w.Header())
	w.Header().Del("ETag") // the header was the document's, not the missing page's
	w.Header().Set("Cache-Control", cacheNever)
	w.Header().Set("Content-Length", strconv.FormatInt(c.size, 10))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		io.Copy(w, c.File) // the visitor may have disconnected
	}
}

// refuse answers with a small page.
func refuse(w http.ResponseWriter, r *http.Request, status int, message string) {
	title := strconv.Itoa(status) + " " + http.StatusText(status)
	page := "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + title + "</title></head>\n<body><h1>" +
		title + "</h1><p>" + html.EscapeString(message) + "</p></body></html>\n"
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", cacheNever)
	header.Set("Content-Length", strconv.Itoa(len(page)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		io.WriteString(w, page)
	}
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
