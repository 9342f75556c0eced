package importer

import (
	"fmt"
	"regexp"
	"strings"
)

// payloadConstraint is the condition for one of Spinnaker's payload constraints,
// or why there is none.
//
//   - The value is a regular expression that is searched for in the member's
//     text. An empty one asks only that the member is there.
//   - The key is a member of the payload or, where the payload has no such
//     member, a JSONPath (https://github.com/spinnaker/echo/pull/1078).
func payloadConstraint(key, value string) (condition, why string) {
	member := fmt.Sprintf("trigger.payload[%q]", key)
	path, known := jsonPath(key)
	switch {
	case known && path == member: // a plain name
	case known && strings.HasPrefix(key, "$"):
		member = path
	case known:
		member = fmt.Sprintf("(%s ?? %s)", member, path)
	case strings.HasPrefix(key, "$"):
		return "", key + " is a JSONPath that picks several members, or by a condition"
	}
	there := member + " != nil"
	if value == "" {
		return there, ""
	}
	if regexp.QuoteMeta(value) == value {
		return fmt.Sprintf("%s && string(%s) contains %q", there, member, value), ""
	}
	if _, err := regexp.Compile(value); err != nil {
		return "", fmt.Sprintf("%s is no regular expression that can be asked here", value)
	}
	return fmt.Sprintf("%s && string(%s) matches %q", there, member, value), ""
}

// pathStep is one step of a JSONPath: .name, ['name'] or [0].
var pathStep = regexp.MustCompile(`^(?:\.?([A-Za-z_@-][A-Za-z0-9_@-]*)|\[\s*'([^']*)'\s*\]|\[\s*"([^"]*)"\s*\]|\[\s*([0-9]+)\s*\])`)

// jsonPath is the expression for a JSONPath that picks one member. A missing
// member on the way is no error: the whole is nil. A path of one plain name is
// that member.
func jsonPath(key string) (string, bool) {
	rest := strings.TrimPrefix(key, "$")
	out := "trigger.payload"
	for steps := 0; rest != ""; steps++ {
		m := pathStep.FindStringSubmatch(rest)
		if m == nil {
			return "", false
		}
		rest = rest[len(m[0]):]
		step := fmt.Sprintf("%q", m[1]+m[2]+m[3])
		if m[4] != "" {
			step = m[4]
		}
		if steps == 0 && rest == "" && m[4] == "" {
			return out + "[" + step + "]", true
		}
		out = "get(" + out + ", " + step + ")"
	}
	return out, out != "trigger.payload"
}
