package ssm

import (
	"slices"
	"strconv"
	"strings"

	"showrunner/awsapi/wire"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// filter selects parameters: one of its values has to match.
type filter struct {
	Key, Option string
	Values      []string
}

// options are what a key can be compared by; the first is the default.
var options = map[string][]string{
	"Name": {"Equals", "BeginsWith", "Contains"}, "Path": {"OneLevel", "Recursive"}, "Type": {"Equals", "BeginsWith"},
	"KeyId": {"Equals", "BeginsWith"}, "Label": {"Equals"}, "Tier": {"Equals"}, "DataType": {"Equals"},
}

func (f filter) check() error {
	allowed, known := options[f.Key]
	if strings.HasPrefix(f.Key, "tag:") {
		allowed, known = []string{"Equals", "BeginsWith"}, true
	}
	switch {
	case !known:
		return wire.Errorf("InvalidFilterKey", "The specified key isn't valid: %s", f.Key)
	case f.Option != "" && !slices.Contains(allowed, f.Option):
		return wire.Errorf("InvalidFilterOption", "The following filter option is not valid: %s. Valid options include: [%s].", f.Option, strings.Join(allowed, ", "))
	}
	return nil
}

func (f filter) matches(d document) bool {
	v := d.current()
	switch {
	case f.Key == "Path":
		return slices.ContainsFunc(f.Values, func(p string) bool {
			rest, below := strings.CutPrefix(d.Name, strings.TrimSuffix(p, "/")+"/")
			return below && (f.Option == "Recursive" || !strings.Contains(rest, "/"))
		})
	case strings.HasPrefix(f.Key, "tag:"):
		name := strings.TrimPrefix(f.Key, "tag:")
		return slices.ContainsFunc(d.Tags, func(t tag) bool {
			return t.Key == name && (len(f.Values) == 0 || f.compare(t.Value))
		})
	case f.Key == "Label":
		return slices.ContainsFunc(d.Versions, func(v version) bool { return slices.ContainsFunc(v.Labels, f.compare) })
	}
	return f.compare(map[string]string{"Name": d.Name, "Type": v.Type, "KeyId": v.KMSKey, "Tier": v.Tier, "DataType": v.DataType}[f.Key])
}

// compare says whether one of the filter's values matches a text.
func (f filter) compare(text string) bool {
	return slices.ContainsFunc(f.Values, func(v string) bool {
		switch f.Option {
		case "BeginsWith":
			return strings.HasPrefix(text, v) || f.Key == "Name" && strings.HasPrefix(strings.TrimPrefix(text, "/"), v)
		case "Contains":
			return strings.Contains(text, v)
		}
		return text == v
	})
}
