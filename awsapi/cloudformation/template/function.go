package template

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
)

func joined(list []any, by string) (string, bool) {
	parts := make([]string, len(list))
	for i, e := range list {
		text, ok := Text(e)
		if !ok {
			return "", false
		}
		parts[i] = text
	}
	return strings.Join(parts, by), true
}

func join(_ *Env, v any) (any, error) {
	failed := wrong("Template error: every Fn::Join object requires two parameters, (1) a string delimiter and (2) a list of strings to be joined or a function that returns a list of strings (such as Fn::GetAZs) to be joined.")
	list, ok := v.([]any)
	if !ok || len(list) != 2 {
		return nil, failed
	}
	by, ok := Text(list[0])
	parts, isList := list[1].([]any)
	if !ok || !isList {
		return nil, failed
	}
	out, ok := joined(parts, by)
	if !ok {
		return nil, failed
	}
	return out, nil
}

func split(_ *Env, v any) (any, error) {
	list, ok := v.([]any)
	if ok && len(list) == 2 {
		by, ok1 := Text(list[0])
		text, ok2 := Text(list[1])
		if ok1 && ok2 && by != "" {
			out := []any{}
			for part := range strings.SplitSeq(text, by) {
				out = append(out, part)
			}
			return out, nil
		}
	}
	return nil, wrong("Template error: every Fn::Split object requires two parameters, (1) a string delimiter and (2) a string to be split or a function that returns a string to be split.")
}

func choose(_ *Env, v any) (any, error) {
	list, ok := v.([]any)
	if !ok || len(list) != 2 {
		return nil, wrong("Template error: Fn::Select requires a list argument with two elements: an integer index and a list")
	}
	if _, lacking := list[1].(unknown); lacking {
		return Unknown, nil
	}
	text, ok := Text(list[0])
	n, err := strconv.Atoi(text)
	from, isList := list[1].([]any)
	switch {
	case !ok || err != nil || !isList:
		return nil, wrong("Template error: Fn::Select requires a list argument with two elements: an integer index and a list")
	case n < 0 || n >= len(from):
		return nil, wrong("Template error: Fn::Select cannot select nonexistent value at index %d", n)
	}
	return from[n], nil
}

func encode(_ *Env, v any) (any, error) {
	text, ok := Text(v)
	if !ok {
		return nil, wrong("Template error: every Fn::Base64 object must have a String-typed value.")
	}
	return base64.StdEncoding.EncodeToString([]byte(text)), nil
}

func (e *Env) findInMap(v any) (any, error) {
	list, ok := v.([]any)
	if !ok || len(list) < 3 || len(list) > 4 {
		return nil, wrong("Template error: every Fn::FindInMap object requires three parameters, the map name, map key and the attribute for return value")
	}
	var names [3]string
	for i := range names {
		if names[i], ok = Text(list[i]); !ok {
			return nil, wrong("Template error: every Fn::FindInMap object requires three parameters, the map name, map key and the attribute for return value")
		}
	}
	first, _ := e.Template.Mappings[names[0]].(map[string]any)
	second, _ := first[names[1]].(map[string]any)
	if found, ok := second[names[2]]; ok {
		return found, nil
	}
	if len(list) == 4 {
		if m, ok := list[3].(map[string]any); ok && len(m) == 1 && m["DefaultValue"] != nil {
			return m["DefaultValue"], nil
		}
	}
	return nil, wrong("Template error: Unable to get mapping for %s::%s::%s", names[0], names[1], names[2])
}

func (e *Env) importValue(v any) (any, error) {
	name, ok := Text(v)
	if !ok || e.Import == nil {
		return nil, wrong("Template error: the attribute in Fn::ImportValue must be a string or a function that returns a string")
	}
	return e.Import(name)
}

func (e *Env) zones(v any) (any, error) {
	region, ok := Text(v)
	if !ok || e.Zones == nil {
		return nil, wrong("Template error: every Fn::GetAZs object must have a String-typed value.")
	}
	if region == "" {
		region = e.Region
	}
	out := []any{}
	zones, err := e.Zones(region)
	for _, z := range zones {
		out = append(out, z)
	}
	return out, err
}

// number is a whole number, however it is written.
func number(v any) (int, bool) {
	text, ok := Text(v)
	n, err := json.Number(strings.TrimSpace(text)).Int64()
	return int(n), ok && err == nil
}
