package pipeline

import (
	"reflect"
	"slices"
	"time"
)

// OutputType is the type of one output of a stage.
type OutputType string

// The types of outputs that expressions are checked against.
const (
	StringOutput OutputType = "string"
	IntOutput    OutputType = "int"
	BoolOutput   OutputType = "bool"
	// StringMap maps names to strings.
	StringMap OutputType = "map of strings"
	// IntMap maps names to numbers.
	IntMap OutputType = "map of numbers"
	// StringList is a list of strings.
	StringList OutputType = "list of strings"
	// AnyOutput is known only at run time.
	AnyOutput OutputType = "any"
)

// Output is one value that a stage of a kind puts out.
type Output struct {
	Name string
	Type OutputType
	Doc  string
}

// Kind describes one stage kind; every place that handles kinds reads this table.
type Kind struct {
	Name    string
	Summary string // one sentence for the reference
	Doc     string // Markdown for the reference
	Config  Config // the zero value of its configuration
	Outputs []Output
	// Declares tells that a stage names further outputs in its own `outputs`.
	Declares bool
	// Artifacts tells that a stage makes an artifact under its name.
	Artifacts bool
	// Secondary tells that it may make more under "stage.id", with ids that are
	// only known when it has run.
	Secondary bool
	Timeout   time.Duration // when the stage sets none
	Example   string        // the kind's value in a stage, as YAML
}

// Kinds lists the kinds in the order of the reference.
func Kinds() []Kind { return slices.Clone(kinds) }

// FindKind returns the description of a kind.
func FindKind(name string) (Kind, bool) {
	for _, k := range kinds {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}

// KindNames lists the names of the kinds.
func KindNames() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.Name
	}
	return names
}

// SecretFields lists the dotted paths of a kind's configuration where secret
// references are allowed.
func (k Kind) SecretFields() []string {
	var paths []string
	collectSecretFields(reflect.TypeOf(k.Config), "", &paths)
	return paths
}

func collectSecretFields(t reflect.Type, prefix string, paths *[]string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	s := shapeOf(t)
	if s == nil {
		return
	}
	for _, f := range s.fields {
		if f.secret {
			*paths = append(*paths, prefix+f.name)
		} else {
			collectSecretFields(f.typ, prefix+f.name+".", paths)
		}
	}
}
