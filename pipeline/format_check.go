package pipeline

import (
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // zones are the same on every machine

	"github.com/bmatcuk/doublestar/v4"
	"github.com/robfig/cron/v3"
	"go.yaml.in/yaml/v4"
)

// Names appear in URLs, folders, identifiers and terminals.
const (
	namePattern      = `^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`
	stagePattern     = `^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$` // no dots: "build.service" is an artifact
	parameterPattern = `^[A-Za-z_][A-Za-z0-9_-]{0,99}$`
	identPattern     = `^[A-Za-z_][A-Za-z0-9_]{0,99}$`
	regionPattern    = `^[a-z0-9][a-z0-9-]{0,62}$`
	artifactPattern  = `^[A-Za-z0-9][A-Za-z0-9_-]{0,99}(\.[A-Za-z0-9][A-Za-z0-9_.-]{0,99})?$`
	clusterPattern   = `^[A-Za-z0-9._]+(-[A-Za-z0-9._]*(-[A-Za-z0-9._-]+)?)?$`
	clockPattern     = `^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$`
	sizePattern      = `^[0-9]+(\.[0-9]+)?\s*([KMGT]i?)?B?$`
	headerPattern    = "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}$"
	sitePattern      = `^[a-z0-9][a-z0-9-]{0,61}[a-z0-9]$|^[a-z0-9]$`
)

// format is a named rule for texts that the type system cannot express.
type format struct {
	pattern *regexp.Regexp // nil: only check decides
	says    string         // completes "X must be …"
	check   func(string) error
}

// formats are what the `check` tags name, for scalars.
var formats = map[string]format{
	"name":        {regexp.MustCompile(namePattern), "a name of letters, digits, '.', '_' and '-', at most 100, starting with a letter or digit", nil},
	"application": {regexp.MustCompile(namePattern), "a name of letters, digits, '.', '_' and '-', at most 100, starting with a letter or digit", nil},
	"secret":      {regexp.MustCompile(namePattern), "the name of a secret (letters, digits, '.', '_', '-'), not its value", nil},
	"site":        {regexp.MustCompile(sitePattern), "a host name label: lower-case letters, digits and '-', at most 63", nil},
	"region":      {regexp.MustCompile(regionPattern), "the name of a region: lower-case letters, digits and '-'", nil},
	"artifact":    {regexp.MustCompile(artifactPattern), "an artifact: a stage, or stage.identifier", nil},
	"cluster":     {regexp.MustCompile(clusterPattern), "a cluster name: application[-stack[-detail]] of letters, digits, '.' and '_'; the detail may also hold '-'", checkCluster},
	"clock":       {regexp.MustCompile(clockPattern), "a time of day such as 09:00", nil},
	"size":        {regexp.MustCompile(sizePattern), "a size such as 512MiB or 2GiB", nil},
	"identifier":  {regexp.MustCompile(identPattern), "a name of letters, digits and '_'", nil},
	"glob":        {nil, "a glob", checkGlob},
	"cron":        {nil, "a cron line of five fields, or a word such as @daily", checkCron},
	"zone":        {nil, "an IANA time zone such as Europe/Paris", checkZone},
	"git":         {nil, "something the git command reads", checkGitURL},
	"url":         {nil, "an http or https URL", checkURL},
	"metrics":     {nil, "an http or https URL, or cloudwatch://REGION", checkMetricsSource},
	"mail":        {nil, "an address such as deploys@example.com", checkMail},
	"hostport":    {nil, "host:port such as smtp.example.com:587", checkHostPort},
	"urlpath":     {nil, "a path that starts with /", checkURLPath},
	"path":        {nil, "a relative path inside its folder", checkPath},
	"time":        {nil, "a time in RFC 3339 form such as 2030-01-31T09:00:00Z", checkTime},
	"holiday":     {nil, "a calendar of holidays (" + strings.Join(HolidayCalendars(), ", ") + "), a day such as 2026-12-24, a span such as 2026-12-24..2027-01-01, or a day of every year such as 12-24", checkHoliday},
	"pointer":     {nil, "a JSON pointer such as /data/id, or \"\" for the whole", checkPointer},
}

// itemFormats are the `check` tags of lists and maps: what each item must be.
var itemFormats = map[string]string{
	"globs": "glob", "regions": "region", "identifiers": "identifier", "artifacts": "artifact", "pointers": "pointer", "holidays": "holiday", "mails": "mail",
}

// keyPatterns are the `check` tags of maps: what each key must be.
var keyPatterns = map[string]string{
	"env": identPattern, "headers": headerPattern, "pointers": identPattern, "artifacts": parameterPattern,
}

// checkText applies a field's rules to a text without expressions.
func (d *decoder) checkText(n *yaml.Node, f *field) {
	if len(f.enum) > 0 {
		if !slices.Contains(f.enum, n.Value) {
			d.reportWith(n, Diagnostic{Code: CodeValue, Suggestion: nearestOf(n.Value, f.enum),
				Message: fmt.Sprintf("%s must be one of %s, not %q", d.subject(), strings.Join(f.enum, ", "), firstLine(n.Value))})
		}
		return
	}
	name := f.check
	if item, ok := itemFormats[name]; ok {
		name = item
	}
	rule, ok := formats[name]
	if !ok {
		return
	}
	if f.required && n.Value == "" && name != "pointer" {
		d.report(n, CodeRequired, "%s must not be empty", d.subject())
		return
	}
	if n.Value == "" {
		return
	}
	if err := rule.accepts(n.Value); err != nil {
		d.reportWith(n, Diagnostic{Code: CodeValue, Suggestion: textFor(name, n.Value, rule), Message: fmt.Sprintf("%s must be %s: %v", d.subject(), rule.says, err)})
	}
}

// nearestOf is the word of a closed list that was probably meant: also the short
// form of a longer word, such as mon for Monday.
func nearestOf(text string, words []string) string {
	for _, w := range words {
		if len(w) >= 3 && strings.HasPrefix(strings.ToLower(text), w) {
			return w
		}
	}
	return Nearest(text, words)
}

func (r format) accepts(s string) error {
	if r.pattern != nil && !r.pattern.MatchString(s) {
		return fmt.Errorf("%q is not", shorten(firstLine(s), 80))
	}
	if r.check != nil {
		return r.check(s)
	}
	return nil
}

func shorten(s string, limit int) string {
	if r := []rune(s); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return s
}

// patterns are compiled once; the closed list of the constants above.
var patterns = func() map[string]*regexp.Regexp {
	m := map[string]*regexp.Regexp{}
	for _, p := range []string{namePattern, stagePattern, parameterPattern, identPattern, headerPattern} {
		m[p] = regexp.MustCompile(p)
	}
	return m
}()

// checkName refuses a key that cannot be a name.
func (d *decoder) checkName(key *yaml.Node, what, pattern string) {
	if isNull(key) || !patterns[pattern].MatchString(key.Value) {
		allowed := map[string]string{
			namePattern:      "letters, digits, '.', '_' and '-', at most 100, starting with a letter or digit",
			stagePattern:     "letters, digits, '_' and '-', at most 100, starting with a letter or digit",
			parameterPattern: "letters, digits, '_' and '-', at most 100, starting with a letter or '_'",
		}[pattern]
		d.reportWith(key, Diagnostic{Code: CodeName, Suggestion: nameFor(key.Value, format{pattern: patterns[pattern]}),
			Message: fmt.Sprintf("%q cannot be the name of a %s: use %s", shorten(firstLine(key.Value), 60), what, allowed)})
	}
}

func (d *decoder) checkKey(key *yaml.Node, f *field) {
	if p, ok := keyPatterns[f.check]; ok && !patterns[p].MatchString(key.Value) {
		d.report(key, CodeName, "%s: %q cannot be a name here", d.subject(), shorten(firstLine(key.Value), 60))
	}
}

// checkList applies the rules that concern a list as a whole.
func (d *decoder) checkList(n *yaml.Node, f *field, list reflect.Value) {
	if f.required && len(n.Content) == 0 {
		d.report(n, CodeRequired, "%s must not be empty", d.subject())
	}
	if f.check == "steps" {
		last := 0.0
		for i := range list.Len() {
			v := list.Index(i)
			step := 0.0
			if v.CanInt() {
				step = float64(v.Int())
			} else {
				step = v.Float()
			}
			if list.Len() != len(n.Content) {
				return // an item was refused already
			}
			if step == 0 && hasExpression(n.Content[i].Value) {
				continue
			}
			if step <= last || step > 100 {
				d.report(n.Content[i], CodeValue, "%s must rise from above 0 to at most 100: %v follows %v", d.subject(), step, last)
				return
			}
			last = step
		}
	}
	if f.typ.Elem().Kind() == reflect.String && (f.check == "regions" || f.check == "identifiers" || len(f.enum) > 0 || f.name == "needs") {
		seen := map[string]bool{}
		for i, item := range n.Content {
			for item.Kind == yaml.AliasNode {
				item = item.Alias
			}
			if v := item.Value; seen[v] {
				d.report(n.Content[i], CodeDuplicateKey, "%s names %q twice", d.subject(), v)
			} else {
				seen[v] = true
			}
		}
	}
}

func checkCluster(s string) error {
	if len(s) > 100 {
		return fmt.Errorf("it is longer than 100 characters")
	}
	if versionSuffix.MatchString(s) {
		return fmt.Errorf("%q ends like a server group's version", s)
	}
	return nil
}

var versionSuffix = regexp.MustCompile(`-v[0-9]{3}$`)

// maxAlternatives bounds what the braces of one glob may stand for: matching
// tries all of them.
const maxAlternatives = 1000

func checkGlob(s string) error {
	if g := strings.TrimPrefix(s, "!"); g == "" || !doublestar.ValidatePattern(g) {
		return fmt.Errorf("%q is malformed", s)
	}
	if alternatives(s) > maxAlternatives {
		return fmt.Errorf("its braces stand for more than %d globs", maxAlternatives)
	}
	return nil
}

// alternatives counts the globs without braces that a valid glob stands for, up
// to one more than the limit.
func alternatives(glob string) int {
	type level struct{ sum, product int } // of the alternatives before this one, and of this one
	open := []level{{0, 1}}
	capped := func(n int) int { return min(n, maxAlternatives+1) }
	for i := 0; i < len(glob); i++ {
		top := &open[len(open)-1]
		switch c := glob[i]; {
		case c == '\\':
			i++
		case c == '{':
			open = append(open, level{0, 1})
		case c == ',' && len(open) > 1:
			*top = level{capped(top.sum + top.product), 1}
		case c == '}' && len(open) > 1:
			open = open[:len(open)-1]
			outer := &open[len(open)-1]
			outer.product = capped(outer.product * capped(top.sum+top.product))
		}
	}
	return open[0].product
}

func checkCron(s string) error {
	if strings.HasPrefix(s, "TZ=") || strings.HasPrefix(s, "CRON_TZ=") {
		return fmt.Errorf("set the zone in `zone`")
	}
	if strings.HasPrefix(s, "@every") {
		return fmt.Errorf("@every has no fixed times")
	}
	schedule, err := cron.ParseStandard(s)
	if err != nil {
		return err
	}
	if schedule.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return fmt.Errorf("%q never comes", s)
	}
	return nil
}

func checkZone(s string) error {
	if s == "Local" {
		return fmt.Errorf("a machine's own zone differs between machines")
	}
	if _, err := time.LoadLocation(s); err != nil {
		return fmt.Errorf("%q is unknown", s)
	}
	return nil
}

func checkGitURL(s string) error {
	if strings.HasPrefix(s, "-") || strings.ContainsAny(s, "\n\r\t") {
		return fmt.Errorf("%q cannot be an address", shorten(firstLine(s), 60))
	}
	if strings.Contains(s, "::") && !strings.Contains(s, "://") && !strings.Contains(s, "[") {
		return fmt.Errorf("transport helpers (%q) can run any command and are not allowed", shorten(s, 60))
	}
	scheme, _, ok := strings.Cut(s, "://")
	if !ok {
		return nil // a path, or scp-like user@host:path
	}
	if !slices.Contains([]string{"http", "https", "ssh", "git", "file", "git+ssh", "ssh+git"}, strings.ToLower(scheme)) {
		return fmt.Errorf("the scheme %q is not known", scheme)
	}
	u, err := url.Parse(s)
	if err != nil {
		return fmt.Errorf("it is malformed")
	}
	if _, ok := u.User.Password(); ok {
		return fmt.Errorf("it holds a password; put that in `credentials` as a secret")
	}
	return nil
}

// checkMetricsSource accepts what metrics can be read from.
func checkMetricsSource(s string) error {
	if region, ok := strings.CutPrefix(s, "cloudwatch://"); ok {
		region, _, _ = strings.Cut(region, "?")
		if !regexp.MustCompile(regionPattern).MatchString(region) {
			return fmt.Errorf("%q names no region", shorten(firstLine(s), 80))
		}
		return nil
	}
	return checkURL(s)
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return fmt.Errorf("it is malformed")
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%q has another scheme", shorten(s, 60))
	case u.Hostname() == "":
		return fmt.Errorf("%q has no host", shorten(s, 60))
	}
	if _, ok := u.User.Password(); ok {
		return fmt.Errorf("it holds a password; use a secret")
	}
	if strings.Contains(u.Hostname(), ":") {
		if _, err := netip.ParseAddr(u.Hostname()); err != nil {
			return fmt.Errorf("%q is no address", u.Hostname())
		}
	}
	return nil
}

func checkURLPath(s string) error {
	if u, err := url.Parse(s); err != nil || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || u.Host != "" {
		return fmt.Errorf("%q is not", shorten(s, 60))
	}
	return nil
}

func checkPath(s string) error {
	if path.IsAbs(s) || strings.Contains(s, "\\") || s == ".." || strings.HasPrefix(path.Clean(s), "../") || path.Clean(s) == ".." {
		return fmt.Errorf("%q leads out of it", shorten(s, 60))
	}
	return nil
}

func checkTime(s string) error {
	_, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return fmt.Errorf("%q is not", shorten(s, 60))
	}
	return nil
}

func checkPointer(s string) error {
	if s != "" && !strings.HasPrefix(s, "/") {
		return fmt.Errorf("%q does not start with /", shorten(s, 60))
	}
	return nil
}
