package pipeline

import (
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"
)

type expression struct{}
type scopeInfo struct{}

func hasExpression(s string) bool { return strings.Contains(s, "${{") }

func (d *decoder) wholeExpression(n *yaml.Node, f *field, t reflect.Type) []byte {
	return encodeString(n.Value)
}
func (d *decoder) interpolation(n *yaml.Node, f *field) {}
func (d *decoder) condition(n *yaml.Node)               {}
