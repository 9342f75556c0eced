package wire

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
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
	model  *Model
	found  []string
	inside bool // an element of a list, or of a map
}

func (v *validation) add(value any, path, must string) { v.addText(value, path, "Member must "+must) }

func (v *validation) addText(value any, path, text string) {
	if len(v.found) >= 20 {
		return
	}
	if v.model.Metadata.ServiceID == "IAM" { // it shows no values
		v.found = append(v.found, fmt.Sprintf("Value at '%s' failed to satisfy constraint: %s", path, text))
		return
	}
	v.found = append(v.found, fmt.Sprintf("Value %s at '%s' failed to satisfy constraint: %s", value, path, text))
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
		v.mapping(shape, x, path)
	case []any:
		v.list(shape, x, path)
	case string:
		quoted := "'" + x + "'"
		v.length(shape, utf8.RuneCountInString(x), quoted, path)
		if enum := v.statedEnum(path); len(shape.Enum) > 0 && (enum != nil || !v.ownWords(shape)) && !slices.Contains(shape.Enum, x) {
			if enum == nil {
				enum = shape.Enum
			}
			v.add(quoted, path, "satisfy enum value set: ["+strings.Join(enum, ", ")+"]")
		}
		if !v.matches(shape, x) {
			v.add(quoted, path, "satisfy regular expression pattern: "+v.pattern(shape, path))
		}
	case []byte:
		v.length(shape, len(x), "java.nio.HeapByteBuffer", path)
	case int64:
		v.span(shape, float64(x), "'"+strconv.FormatInt(x, 10)+"'", path)
	case float64:
		v.span(shape, x, "'"+strconv.FormatFloat(x, 'f', -1, 64)+"'", path)
	}
}

// ownWords says whether a value's service checks it, and refuses it in other words: there
// are more instance types than the model knows, and Lambda names the runtimes of a function
// itself, though not those of a list.
func (v *validation) ownWords(shape *Shape) bool {
	switch shape.Name {
	case "InstanceType", "StandardUnit":
		return true
	case "Runtime":
		return !v.inside
	}
	return false
}

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
