package pipeline

import (
	"math"
	"strings"

	"github.com/expr-lang/expr/types"
)

// Scope is what expressions see, built by the engine as plain data. It must
// hold every parameter of the pipeline (as ResolveParameters returns them) and
// the stages upstream of the resolved stage.
type Scope struct {
	Parameters map[string]string
	// Trigger is what started the execution. Fields that are missing read as
	// their zero value.
	Trigger   map[string]any
	Execution ExecutionScope
	// Stages holds the stages that have ended, by name.
	Stages map[string]StageScope
	// Artifacts holds the references of artifacts, by "stage" and "stage.id".
	Artifacts map[string]string
}

// ExecutionScope is what `execution` refers to.
type ExecutionScope struct {
	ID          string
	Number      int
	Application string
	Pipeline    string
	StartedBy   string
}

// StageScope is what `stages.NAME` refers to.
type StageScope struct {
	Kind    string // its outputs have the types of the kind, zero values when missing
	Status  string
	Outputs map[string]any
}

// stageStatuses are what the engine calls the outcome of a stage that is
// upstream of a stage that starts; a stage that never ran has "".
var stageStatuses = []string{"Succeeded", "FailedContinue", "Terminal", "Canceled", "Stopped", "Skipped", ""}

// roots are the names that an expression may start with.
var roots = []string{"parameters", "trigger", "execution", "stages", "artifacts", "secrets"}

// TriggerFields lists what `trigger` has, in the order of the reference.
func TriggerFields() []Output {
	return []Output{
		{"kind", StringOutput, "manual, push, poll, schedule, pipeline, webhook"},
		{"id", StringOutput, "the identifier of the event"},
		{"name", StringOutput, "of the webhook"},
		{"repository", StringOutput, "owner/name"},
		{"url", StringOutput, "the clone URL of the repository"},
		{"ref", StringOutput, "the full ref, such as refs/heads/main"},
		{"branch", StringOutput, "the branch pushed"},
		{"tag", StringOutput, "the tag pushed"},
		{"commit", StringOutput, "the commit id"},
		{"before", StringOutput, "the commit id before a push"},
		{"message", StringOutput, "the commit message"},
		{"actor", StringOutput, "who pushed, called or started"},
		{"email", StringOutput, "the address of who pushed"},
		{"paths", StringList, "the paths that a push changed"},
		{"application", StringOutput, "of the pipeline that ended"},
		{"pipeline", StringOutput, "the pipeline that ended"},
		{"execution", StringOutput, "the execution that ended"},
		{"status", StringOutput, "how it ended"},
		{"scheduled", StringOutput, "the time a schedule was due, RFC 3339"},
		{"payload", AnyOutput, "the webhook's JSON body"},
	}
}

// ExecutionFields lists what `execution` has.
func ExecutionFields() []Output {
	return []Output{
		{"id", StringOutput, "the identifier"},
		{"number", IntOutput, "the number within the pipeline, from 1"},
		{"application", StringOutput, "the application"},
		{"pipeline", StringOutput, "the pipeline"},
		{"startedBy", StringOutput, "the principal that started it"},
	}
}

// zero is the value of an output that is missing.
func (t OutputType) zero() any {
	switch t {
	case StringOutput:
		return ""
	case IntOutput:
		return 0
	case BoolOutput:
		return false
	case StringMap, IntMap:
		return map[string]any{}
	case StringList:
		return []any{}
	}
	return nil
}

// exprType is what the checker knows of an output.
func (t OutputType) exprType() types.Type {
	switch t {
	case StringOutput:
		return types.String
	case IntOutput:
		return types.Int
	case BoolOutput:
		return types.Bool
	case StringMap:
		return types.Map{types.Extra: types.String}
	case IntMap:
		return types.Map{types.Extra: types.Int}
	case StringList:
		return types.Array(types.String)
	}
	return types.Any
}

func outputTypes(outputs []Output) types.Map {
	m := make(types.Map, len(outputs))
	for _, o := range outputs {
		m[o.Name] = o.Type.exprType()
	}
	return m
}

func outputNames(outputs []Output) []string {
	names := make([]string, len(outputs))
	for i, o := range outputs {
		names[i] = o.Name
	}
	return names
}

// withDefaults fills in what is missing and makes whole JSON numbers integers.
func withDefaults(outputs []Output, given map[string]any) map[string]any {
	m := make(map[string]any, len(outputs)+len(given))
	for _, o := range outputs {
		m[o.Name] = o.Type.zero()
	}
	for k, v := range given {
		if v != nil {
			m[k] = normal(v)
		}
	}
	return m
}

// normal turns what JSON decoding (or Go code) yields into what the checker
// promised: whole numbers are int, lists []any, mappings map[string]any.
func normal(v any) any {
	switch v := v.(type) {
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int(v)
		}
	case int64:
		return int(v)
	case []string:
		out := make([]any, len(v))
		for i, s := range v {
			out[i] = s
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, s := range v {
			out[i] = normal(s)
		}
		return out
	case map[string]string:
		out := make(map[string]any, len(v))
		for k, s := range v {
			out[k] = s
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, s := range v {
			out[k] = normal(s)
		}
		return out
	}
	return v
}

// The expression language knows no hyphens in names. Names out of the file are
// written with letters that cannot occur in them: "ー" for a hyphen, "ㅏ" for
// the dot of an artifact, and one of ten others for a leading digit. The number of characters stays, and with it
// every position.
const (
	hyphen     = 'ー'
	dot        = 'ㅏ' // within the name of an artifact
	firstDigit = 'ㄱ' // …and the nine letters after it
)

// mangle rewrites the names in an expression. Known tells whether a parameter
// exists: "parameters.count-1" is the parameter "count-1" if there is one, else
// "count" less 1.
func mangle(text string, known func(parameter string) bool) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '"' || c == '\'' || c == '`':
			end := textEnd(text[i:])
			if end < 0 {
				b.WriteString(text[i:])
				return b.String()
			}
			b.WriteString(text[i : i+end+1])
			i += end + 1
		case isWordByte(c):
			end := i
			for end < len(text) && isWordByte(text[end]) {
				end++
			}
			word := text[i:end]
			b.WriteString(word)
			member := i > 0 && text[i-1] == '.'
			i = end
			if !member {
				i = mangleNames(&b, text, i, word, known)
			}
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String()
}

// mangleNames rewrites what follows a root that takes names.
func mangleNames(b *strings.Builder, text string, i int, root string, known func(string) bool) int {
	depth := map[string]int{"parameters": 1, "stages": 1, "secrets": 1, "artifacts": 2}[root]
	for part := range depth {
		switch {
		case part > 0 && strings.HasPrefix(text[i:], "."):
			b.WriteRune(dot) // artifacts.build.service is one name
			i++
		case part == 0 && strings.HasPrefix(text[i:], "?."):
			b.WriteString("?.")
			i += 2
		case part == 0 && strings.HasPrefix(text[i:], "."):
			b.WriteByte('.')
			i++
		default:
			return i
		}
		end := i
		for end < len(text) && (isWordByte(text[end]) || text[end] == '-') {
			end++
		}
		name := strings.TrimRight(text[i:end], "-")
		if root == "parameters" {
			name = longestKnown(name, known)
		}
		b.WriteString(mangleName(name))
		i += len(name)
	}
	return i
}

func longestKnown(name string, known func(string) bool) string {
	for try := name; ; {
		if known(try) {
			return try
		}
		cut := strings.LastIndexByte(try, '-')
		if cut <= 0 {
			return name
		}
		try = strings.TrimRight(try[:cut], "-")
	}
}

func mangleName(name string) string {
	name = strings.ReplaceAll(name, "-", string(hyphen))
	if name != "" && name[0] >= '0' && name[0] <= '9' {
		name = string(firstDigit+rune(name[0]-'0')) + name[1:]
	}
	return name
}

// unmangle undoes mangle, in a name or in a message.
func unmangle(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == hyphen:
			return '-'
		case r == dot:
			return '.'
		case r >= firstDigit && r < firstDigit+10:
			return '0' + r - firstDigit
		}
		return r
	}, s)
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}
