package wire

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// list checks a list. One violation stands for all elements that are texts or numbers: it
// shows the whole list and everything that an element has to keep.
func (v *validation) list(shape *Shape, list []any, path string) {
	member := v.model.of(shape.Member)
	if member.Type == "structure" || member.Type == "list" || member.Type == "map" {
		v.length(shape, len(list), "[]", path)
		for i, e := range list {
			v.value(member, e, path+"."+strconv.Itoa(i+1)+".member")
		}
		return
	}
	whole := "'[" + strings.Join(texts(list), ", ") + "]'"
	v.length(shape, len(list), whole, path)
	for _, e := range list {
		if !v.broken(member, e) {
			continue
		}
		if runtimes := v.statedEnum(path); runtimes != nil {
			v.add(whole, path, "satisfy enum value set: ["+strings.Join(runtimes, ", ")+"]")
		} else {
			v.add(whole, path, "satisfy constraint: ["+v.constraints(member, path)+"]")
		}
		return
	}
}

// mapping checks a map: its values, then its keys.
func (v *validation) mapping(shape *Shape, m map[string]any, path string) {
	names := slices.Sorted(maps.Keys(m))
	key, value := v.model.of(shape.Key), v.model.of(shape.Value)
	shown := make([]string, len(names))
	for i, name := range names {
		shown[i] = name + "=" + textOf(m[name])
	}
	whole := "'{" + strings.Join(shown, ", ") + "}'"
	v.length(shape, len(m), whole, path)
	if value.Type == "structure" || value.Type == "list" || value.Type == "map" {
		for _, name := range names {
			v.value(value, m[name], path)
		}
	} else if slices.ContainsFunc(names, func(name string) bool { return v.broken(value, m[name]) }) {
		v.addText(whole, path, "Map value must satisfy constraint: ["+v.constraints(value, path)+"]")
	}
	if slices.ContainsFunc(names, func(name string) bool { return v.broken(key, name) }) {
		v.addText(whole, path, "Map keys must satisfy constraint: ["+v.constraints(key, path)+"]")
	}
}

// broken says whether a text or a number does not keep what its shape states.
func (v *validation) broken(shape *Shape, value any) bool {
	trial := validation{model: v.model, inside: true}
	trial.value(shape, value, "")
	return len(trial.found) > 0
}

// constraints are what the elements of a list, or the keys or values of a map, have to keep.
func (v *validation) constraints(shape *Shape, path string) string {
	what, number := "length", "%.0f"
	switch shape.Type {
	case "integer", "long":
		what = "value"
	case "double", "float":
		what, number = "value", "%.1f"
	}
	var all []string
	if shape.Max != nil {
		all = append(all, fmt.Sprintf("Member must have "+what+" less than or equal to "+number, *shape.Max))
	}
	if shape.Min != nil {
		all = append(all, fmt.Sprintf("Member must have "+what+" greater than or equal to "+number, *shape.Min))
	}
	if shape.Pattern != "" {
		all = append(all, "Member must satisfy regular expression pattern: "+v.pattern(shape, path))
	}
	if len(shape.Enum) > 0 {
		all = append(all, "Member must satisfy enum value set: ["+strings.Join(shape.Enum, ", ")+"]")
	}
	if path != "compatibleArchitectures" { // Lambda's are the exception
		all = append(all, "Member must not be null")
	}
	return strings.Join(all, ", ")
}

func texts(list []any) []string {
	out := make([]string, len(list))
	for i, e := range list {
		out[i] = textOf(e)
	}
	return out
}

// textOf is a text or a number as violations show it.
func textOf(value any) string {
	if f, ok := value.(float64); ok && f == float64(int64(f)) {
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return fmt.Sprint(value)
}

// stated are the patterns that AWS's services state in their answers where they are not
// those of the published models, by service and shape, or by service and member.
var stated = map[string]string{
	"Lambda.FunctionName":            statedFunction(""),
	"Lambda.NamespacedFunctionName":  statedFunction(`\.`),
	"Lambda.UnqualifiedFunctionName": strings.TrimSuffix(statedFunction(""), statedQualifier),
	"Lambda.FunctionUrlQualifier":    `((?!^\d+$)^[0-9a-zA-Z-_]+$)`,
	"Lambda.FunctionArn": `arn:(aws[a-zA-Z-]*):lambda:[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:(function:[a-zA-Z0-9-_]+` + statedQualifier +
		`|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})`,
	"Lambda.DestinationArn":  `^$|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}((-gov)|(-iso(b?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)`,
	"Lambda.LayerVersionArn": `(arn:[a-zA-Z0-9-]+:lambda:[a-z]{2}((-gov)|(-iso(b?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)`,
	"Lambda@arn":             `arn:(aws[a-zA-Z-]*)?:lambda:[a-z]{2}((-gov)|(-iso(b?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+`,
}

// LambdaRuntimes are the runtimes that Lambda states for functions, in its order. It takes
// more for layers, and states others again where layers are listed.
var LambdaRuntimes = strings.Fields("nodejs20.x python3.14 provided.al2023 python3.12 python3.13 nodejs24.x nodejs22.x java17 nodejs16.x java25 dotnet8 python3.10 java11 python3.11 dotnet6 java21 nodejs18.x provided.al2 ruby3.3 ruby3.4 java8.al2 ruby3.2 python3.8 python3.9")

var statedEnums = map[string][]string{
	"Lambda@compatibleRuntimes": LambdaRuntimes,
	"Lambda@compatibleRuntime":  strings.Fields("ruby3.5 ruby2.6 dotnetcore1.0 python3.7 nodejs8.10 nasa ruby2.7 python2.7-greengrass dotnetcore2.0 python3.8 java21 dotnet6 dotnetcore2.1 python3.9 java11 nodejs6.10 provided dotnetcore3.1 dotnet8 java25 java17 nodejs nodejs4.3 java8.al2 go1.x dotnet10 nodejs20.x go1.9 byol nodejs10.x provided.al2023 nodejs22.x python3.10 java8 nodejs12.x python3.11 nodejs24.x nodejs8.x python3.12 nodejs14.x nodejs8.9 nodejs26.x python3.13 python3.14 nodejs16.x python3.15 provided.al2 nodejs4.3-edge nodejs18.x ruby3.2 python3.4 ruby3.3 ruby3.4 ruby2.5 python3.6 python2.7"),
}

// statedEnum is the enumeration that a service states for a member; nil: its model's.
func (v *validation) statedEnum(path string) []string {
	return statedEnums[v.model.Metadata.ServiceID+"@"+path]
}

const statedQualifier = `(:(\$LATEST|[a-zA-Z0-9-_]+))?`

func statedFunction(more string) string {
	return `(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_` + more + `]+)` + statedQualifier
}

// pattern is a shape's pattern as its service states it.
func (v *validation) pattern(shape *Shape, path string) string {
	service := v.model.Metadata.ServiceID
	for _, key := range []string{service + "@" + path, service + "." + shape.Name} {
		if text := stated[key]; text != "" {
			return text
		}
	}
	return shape.Pattern
}

// matches says whether a text is what its shape's pattern wants. A pattern that Go's engine
// does not know is taken as its service states it, and else not checked.
func (v *validation) matches(shape *Shape, text string) bool {
	if shape.Pattern == "" {
		return true
	}
	check, ok := compiled(shape.Pattern)
	if !ok {
		check, ok = compiled(stated[v.model.Metadata.ServiceID+"."+shape.Name])
	}
	return !ok || check.matches(text)
}

// textPattern is a pattern that has to match a whole text, and one that may not match how it begins.
type textPattern struct{ wanted, not *regexp.Regexp }

func (p textPattern) matches(text string) bool {
	return (p.not == nil || !p.not.MatchString(text)) && p.wanted.MatchString(text)
}

var patterns sync.Map // pattern → textPattern, with no wanted one for what Go cannot compile

// compiled is a pattern of a model; false when Go's engine does not know it. Go has no
// lookahead; a negative one at the beginning is a pattern of its own.
func compiled(pattern string) (textPattern, bool) {
	if p, ok := patterns.Load(pattern); ok {
		return p.(textPattern), p.(textPattern).wanted != nil
	}
	var p textPattern
	not, rest := ahead(pattern)
	if wanted, err := regexp.Compile(`^(?:` + rest + `)$`); err == nil && pattern != "" {
		p.wanted = wanted
	}
	if not != "" {
		var err error
		if p.not, err = regexp.Compile(`^(?:` + not + `)`); err != nil {
			p.wanted = nil
		}
	}
	patterns.Store(pattern, p)
	return p, p.wanted != nil
}

// ahead splits the negative lookahead off that a pattern begins with.
func ahead(pattern string) (not, rest string) {
	const begin = "(?!"
	rest = pattern
	if strings.HasPrefix(rest, "("+begin) && strings.HasSuffix(rest, ")") {
		rest = rest[1 : len(rest)-1]
	}
	if !strings.HasPrefix(rest, begin) {
		return "", pattern
	}
	depth := 1
	for i := len(begin); i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return rest[len(begin):i], rest[i+1:]
			}
		}
	}
	return "", pattern
}
