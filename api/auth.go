package api

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"showrunner/control"
	"showrunner/problem"
)

// Auth decides who a request comes from. Programs send the token as a bearer;
// browsers exchange a one-time ticket for a session cookie. Both are checked by
// the token alone, so that a restart signs nobody out.
type Auth struct {
	token string
	owner string
	hosts []string // host names that requests may be addressed to
	now   func() time.Time
	// records remembers which tickets have been used.
	records Records
}

// NewAuth makes the check. token is the secret of the data folder, owner the
// principal that holds it, hosts the names besides localhost and literal
// addresses that requests may be addressed to.
func NewAuth(token, owner string, hosts []string, now func() time.Time, records Records) *Auth {
	return &Auth{token: token, owner: owner, hosts: hosts, now: now, records: records}
}

const (
	cookieName    = "showrunner_session"
	sessionLength = 12 * time.Hour
	ticketLength  = 10 * time.Minute
)

type principalKey struct{}

// principal returns who asks; the middleware has put it there.
func principal(ctx context.Context) control.Principal {
	p, _ := ctx.Value(principalKey{}).(control.Principal)
	return p
}

// PrincipalOf returns who asks, for other faces behind the same middleware.
func PrincipalOf(r *http.Request) control.Principal { return principal(r.Context()) }

// sign makes "kind.expiry.nonce.mac".
func (a *Auth) sign(kind string, length time.Duration) string {
	body := fmt.Sprintf("%s.%d.%s", kind, a.now().Add(length).Unix(), rand.Text())
	return body + "." + a.mac(body)
}

func (a *Auth) mac(body string) string {
	m := hmac.New(sha256.New, []byte(a.token))
	m.Write([]byte(body))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// valid checks a signed value and returns when it expires.
func (a *Auth) valid(kind, value string) (time.Time, bool) {
	i := strings.LastIndexByte(value, '.')
	if i < 0 || !hmac.Equal([]byte(a.mac(value[:i])), []byte(value[i+1:])) {
		return time.Time{}, false
	}
	parts := strings.Split(value[:i], ".")
	if len(parts) != 3 || parts[0] != kind {
		return time.Time{}, false
	}
	unix, err := strconv.ParseInt(parts[1], 10, 64)
	expires := time.Unix(unix, 0)
	return expires, err == nil && a.now().Before(expires)
}

// Ticket makes a value that SignIn exchanges once for a session.
func (a *Auth) Ticket() string { return a.sign("ticket", ticketLength) }

// SignIn answers GET /login?ticket=…: it sets the session cookie and goes to the front page.
func (a *Auth) SignIn(w http.ResponseWriter, r *http.Request) {
	ticket := r.URL.Query().Get("ticket")
	expires, ok := a.valid("ticket", ticket)
	if ok {
		var err error
		if ok, err = a.use(r.Context(), ticket, expires); err != nil {
			writeProblem(w, problemOf(err))
			return
		}
	}
	if !ok {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintln(w, "This link has been used or has expired. Run `showrunner open` for a new one.")
		return
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: a.sign("session", sessionLength), Path: "/",
		MaxAge: int(sessionLength.Seconds()), HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil})
	w.Header().Set("Referrer-Policy", "no-referrer")
	// A redirect from a page of another site would not carry a strict cookie: a page of our own does.
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'")
	fmt.Fprint(w, `<!doctype html><meta http-equiv="refresh" content="0;url=/"><title>Showrunner</title><a href="/">Continue</a>`)
}

// SignOut forgets the session in this browser.
func (a *Auth) SignOut(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// identify finds the principal. Errors: denied.
func (a *Auth) identify(r *http.Request) (control.Principal, error) {
	if h := r.Header.Get("Authorization"); h != "" {
		token, ok := strings.CutPrefix(h, "Bearer ")
		given, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(a.token))
		if ok && subtle.ConstantTimeCompare(given[:], want[:]) == 1 {
			return control.Principal{Name: a.owner, Owner: true}, nil
		}
		return control.Principal{}, problem.New(problem.Denied, "auth", "the token is not the one of this control plane").
			WithHelp("read it from the file named token in the data folder, or set --data to that folder")
	}
	if c, err := r.Cookie(cookieName); err == nil {
		if _, ok := a.valid("session", c.Value); ok {
			return control.Principal{Name: a.owner, Owner: true}, nil
		}
	}
	return control.Principal{}, problem.New(problem.Denied, "auth", "no token was sent").
		WithHelp("programs send Authorization: Bearer TOKEN with the token of the data folder; browsers follow the link of `showrunner open`")
}

// Identify returns who asks when that is known.
func (a *Auth) Identify(r *http.Request) (control.Principal, bool) {
	p, err := a.identify(r)
	return p, err == nil
}

// Require lets only requests of a known principal through.
func (a *Auth) Require(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := a.identify(r)
		if err != nil {
			pr := problemOf(err)
			pr.Status, pr.Title = http.StatusUnauthorized, http.StatusText(http.StatusUnauthorized)
			w.Header().Set("WWW-Authenticate", `Bearer realm="showrunner"`)
			writeProblem(w, pr)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), principalKey{}, p)))
	})
}

// Host refuses requests addressed to a name that is not ours: a page of another
// site that rebinds its own name to this address gets nowhere.
func (a *Auth) Host(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		host = strings.ToLower(strings.Trim(host, "[]"))
		if !a.ours(host) {
			p := problemOf(problem.New(problem.Denied, "host", "this control plane is not %q", clip(host)).
				WithHelp("use 127.0.0.1 or localhost, or name the host with --host when it is started"))
			p.Status, p.Title = http.StatusMisdirectedRequest, http.StatusText(http.StatusMisdirectedRequest)
			writeProblem(w, p)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (a *Auth) ours(host string) bool {
	if host == "localhost" || net.ParseIP(host) != nil {
		return true
	}
	for _, h := range a.hosts {
		if strings.EqualFold(h, host) {
			return true
		}
	}
	return false
}

func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}

// Fingerprint names a token without telling it.
func Fingerprint(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:4])
}
