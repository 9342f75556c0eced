package wire

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Violations are what an input does not keep of what the model states: required
// members, lengths, ranges, patterns and enumerations, each in the words that
// AWS's services use. None: nil. Patterns that Go's engine does not know are not
// checked.
func (q *Request) Violations() []string {
	if q.operation.Input == nil {
		return nil
	}
	v := &validation{model: q.model}
	v.structure(q.model.of(q.operation.Input), q.Input, "")
	return v.found
}

// Summary is the violations as one message.
func Summary(violations []string) string {
	plural := "s"
	if len(violations) == 1 {
		plural = ""
	}
	return fmt.Sprintf("%d validation error%s detected: %s", len(violations), plural, strings.Join(violations, "; "))
}

type validation struct {
	model *Model
	found []string
}

func (v *validation) add(value any, path, must string) {
	if len(v.found) >= 20 {
		return
	}
	v.found = append(v.found, fmt.Sprintf("Value %s at '%s' failed to satisfy constraint: Member must %s", value, path, must))
}

// shown is a member's name in a violation: AWS writes it in lower camel case.
func shown(path, name string) string {
	name = strings.ToLower(name[:1]) + name[1:]
	return join(path, name)
}

func (v *validation) structure(shape *Shape, value map[string]any, path string) {
	for _, name := range shape.Required {
		if _, ok := value[name]; !ok {
			v.add("null", shown(path, name), "not be null")
		}
	}
	for _, name := range shape.order {
		if e, ok := value[name]; ok {
			v.value(v.model.of(shape.Members[name]), e, shown(path, name))
		}
	}
}

func (v *validation) value(shape *Shape, value any, path string) {
	switch x := value.(type) {
	case map[string]any:
		if shape.Type == "structure" {
			v.structure(shape, x, path)
			return
		}
		v.length(shape, len(x), "{}", path)
		for _, e := range x {
			v.value(v.model.of(shape.Value), e, path)
		}
	case []any:
		v.length(shape, len(x), "[]", path)
		for i, e := range x {
			v.value(v.model.of(shape.Member), e, path+"."+strconv.Itoa(i+1)+".member")
		}
	case string:
		quoted := "'" + x + "'"
		v.length(shape, utf8.RuneCountInString(x), quoted, path)
		if len(shape.Enum) > 0 && !ownWords[shape.Name] && !slices.Contains(shape.Enum, x) {
			v.add(quoted, path, "satisfy enum value set: ["+strings.Join(shape.Enum, ", ")+"]")
		}
		if p := compiled(shape.Pattern); p != nil && !p.MatchString(x) {
			v.add(quoted, path, "satisfy regular expression pattern: "+shape.Pattern)
		}
	case []byte:
		v.length(shape, len(x), "java.nio.HeapByteBuffer", path)
	case int64:
		v.span(shape, float64(x), "'"+strconv.FormatInt(x, 10)+"'", path)
	case float64:
		v.span(shape, x, "'"+strconv.FormatFloat(x, 'f', -1, 64)+"'", path)
	}
}

// ownWords are the shapes whose values their service checks, and refuses in other words:
// there are more instance types than the model knows.
var ownWords = map[string]bool{"InstanceType": true, "StandardUnit": true}

func (v *validation) length(shape *Shape, n int, value, path string) {
	if shape.Min != nil && float64(n) < *shape.Min {
		v.add(value, path, fmt.Sprintf("have length greater than or equal to %.0f", *shape.Min))
	}
	if shape.Max != nil && float64(n) > *shape.Max {
		v.add(value, path, fmt.Sprintf("have length less than or equal to %.0f", *shape.Max))
	}
}

func (v *validation) span(shape *Shape, n float64, value, path string) {
	if shape.Min != nil && n < *shape.Min {
		v.add(value, path, fmt.Sprintf("have value greater than or equal to %.0f", *shape.Min))
	}
	if shape.Max != nil && n > *shape.Max {
		v.add(value, path, fmt.Sprintf("have value less than or equal to %.0f", *shape.Max))
	}
}

var patterns sync.Map // pattern → *regexp.Regexp, nil for one that Go cannot compile

// compiled is a pattern of the model, which has to match the whole value.
func compiled(pattern string) *regexp.Regexp {
	if pattern == "" {
		return nil
	}
	if p, ok := patterns.Load(pattern); ok {
		return p.(*regexp.Regexp)
	}
	p, err := regexp.Compile(`^(?:` + pattern + `)$`)
	if err != nil {
		p = nil
	}
	patterns.Store(pattern, p)
	return p
}
