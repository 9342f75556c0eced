// Package template is the language of CloudFormation's templates: it reads YAML
// and JSON, checks a template as a whole, and evaluates its intrinsic functions,
// conditions, rules and parameters. It is pure: what it needs to know of the world
// (the values of parameters, the attributes of resources, exports) is an argument.
//
// Values are string, bool, json.Number, []any and map[string]any; an intrinsic
// function is a map with its long name as the one key, whichever form it was
// written in. It refuses to know what a type of resource does: that is a handler's.
package template
