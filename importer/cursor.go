package importer

import (
	"fmt"
	"strconv"
	"strings"
)

// cursor is a place in the source document, with its value.
type cursor struct {
	in   *input
	path string
	raw  any
}

func (in *input) root(v any) cursor { return cursor{in: in, raw: v} }

// pointer appends one reference token to a JSON pointer.
func pointer(path, token string) string {
	return path + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(token)
}

// follow resolves a conditional value to the branch that holds.
func (c cursor) follow() cursor {
	if c.in.tmpl == nil {
		return c
	}
	for range maxDepth {
		fn, arg, ok := intrinsic(c.raw)
		if !ok || fn != "Fn::If" {
			return c
		}
		args, _ := arg.([]any)
		if len(args) != 3 {
			return c
		}
		branch := 2
		if name, ok := args[0].(string); ok && c.in.tmpl.condition(name, pointer(c.path, "Fn::If")) {
			branch = 1
		}
		c.in.readPaths[c.path] = true
		c.in.tmpl.notTaken(args, pointer(c.path, "Fn::If"), 3-branch)
		c = cursor{in: c.in, path: fmt.Sprintf("%s/Fn::If/%d", c.path, branch), raw: args[branch]}
	}
	return c
}

// ok says whether the value exists.
func (c cursor) ok() bool {
	c = c.follow()
	if fn, arg, ok := intrinsic(c.raw); ok && c.in.tmpl != nil && fn == "Ref" && arg == "AWS::NoValue" {
		return false
	}
	return c.raw != nil
}

// get reads a member by its name in any of its spellings: "BuildSpec",
// "buildSpec" or "buildspec".
func (c cursor) get(key string) cursor {
	c = c.follow()
	c.in.readPaths[c.path] = true
	o, _ := c.raw.(*object)
	if o == nil {
		return cursor{in: c.in, path: pointer(c.path, key)}
	}
	v, ok := o.vals[key]
	if !ok {
		for _, k := range o.keys {
			if strings.EqualFold(k, key) {
				key, v = k, o.vals[k]
				break
			}
		}
	}
	path := pointer(c.path, key)
	c.in.readPaths[path] = true
	return cursor{in: c.in, path: path, raw: v}
}

// members reads every member of a mapping, in order.
func (c cursor) members() (keys []string, values []cursor) {
	c = c.follow()
	o, _ := c.raw.(*object)
	if o == nil {
		return nil, nil
	}
	c.in.readPaths[c.path] = true
	for _, k := range o.keys {
		path := pointer(c.path, k)
		c.in.readPaths[path] = true
		keys, values = append(keys, k), append(values, cursor{in: c.in, path: path, raw: o.vals[k]})
	}
	return keys, values
}

// items reads a list. A single value is a list of one; absent values are left
// out.
func (c cursor) items() []cursor {
	c = c.follow()
	if !c.ok() {
		return nil
	}
	c.in.readPaths[c.path] = true
	raw := c.raw
	if _, _, is := intrinsic(raw); is && c.in.tmpl != nil {
		raw = c.in.tmpl.eval(raw, c.path, 0)
		c.in.wholePaths[c.path] = true
	}
	list, is := raw.([]any)
	if !is {
		return []cursor{{in: c.in, path: c.path, raw: raw}}
	}
	var out []cursor
	for i, v := range list {
		item := cursor{in: c.in, path: c.path + "/" + strconv.Itoa(i), raw: v}
		c.in.readPaths[item.path] = true
		if item.ok() {
			out = append(out, item)
		}
	}
	return out
}

// text reads a scalar as text that may hold marked references.
func (c cursor) text() string {
	c = c.follow()
	c.in.readPaths[c.path], c.in.wholePaths[c.path] = true, true
	v := c.raw
	if c.in.tmpl != nil {
		v = c.in.tmpl.eval(v, c.path, 0)
	}
	return c.in.dynamic(scalar(v), c.path)
}

// static reads a scalar where an expression is not allowed, such as a name.
func (c cursor) static() string {
	s := c.text()
	if !strings.Contains(s, "\x01") {
		return s
	}
	shown := unmark(s)
	c.in.note(Error, c.path, shown, "the value is known only at run time, but a name has to be known earlier: give it with --parameter, or write it into the file")
	return reference.ReplaceAllString(s, "unknown")
}

// texts reads a list of scalars.
func (c cursor) texts() []string {
	var out []string
	for _, i := range c.items() {
		out = append(out, i.text())
	}
	return out
}

// boolean reads a boolean, also a boolean that is written as text. Any other value
// is taken as false, with a note.
func (c cursor) boolean() bool {
	s := c.static()
	if s != "" && !strings.EqualFold(s, "true") && !strings.EqualFold(s, "false") {
		c.in.note(Warning, c.path, s, "neither true nor false: taken as false")
	}
	return strings.EqualFold(s, "true")
}

// count reads a number above 0. Any other value is left out, with a note.
func (c cursor) count(what string) int {
	n := c.number()
	if n <= 0 {
		c.note(Warning, what+" "+c.static(), "not a number above 0: it is left out")
		return 0
	}
	return n
}

// number reads a whole number; 0 when there is none.
func (c cursor) number() int {
	f, err := strconv.ParseFloat(c.static(), 64)
	if err != nil || f != f || f > 1e9 || f < -1e9 {
		return 0
	}
	return int(f)
}

// markRead marks a value and everything within it as read. It is for values that are
// not read through a cursor.
func (c cursor) markRead() { c.in.readPaths[c.path], c.in.wholePaths[c.path] = true, true }

// ignore leaves out a value and everything within it. The caller notes the
// reason, or has noted it elsewhere: a note on the value covers everything within
// it.
func (c cursor) ignore() {
	c.in.readPaths[c.path], c.in.wholePaths[c.path], c.in.leftOutPaths[c.path] = true, true, true
}

// leave is ignore with a note.
func (c cursor) leave(severity Severity, what, format string, args ...any) {
	c.note(severity, what, format, args...)
	c.ignore()
}

// unread notes every value below c that nothing has read, with the reason from
// why. A value for which why returns "" gets no note.
func (c cursor) unread(why func(path, key string) (reason string, severity Severity)) {
	if c.in.wholePaths[c.path] {
		return
	}
	c = c.follow()
	if c.in.wholePaths[c.path] {
		return
	}
	visit := func(key string, child cursor) {
		if !child.ok() {
			return
		}
		if c.in.readPaths[child.path] {
			child.unread(why)
			return
		}
		if reason, severity := why(child.path, key); reason != "" {
			child.leave(severity, summary(key, child.raw), "%s", reason)
		}
	}
	switch t := c.raw.(type) {
	case *object:
		for _, k := range t.keys {
			visit(k, cursor{in: c.in, path: pointer(c.path, k), raw: t.vals[k]})
		}
	case []any:
		for i, v := range t {
			k := strconv.Itoa(i)
			visit(k, cursor{in: c.in, path: c.path + "/" + k, raw: v})
		}
	}
}

// summary is a key, with its value when the value is short.
func summary(key string, v any) string {
	s := encode(v)
	if len(s) > 60 || looksSecret(key) {
		return key
	}
	return key + " " + s
}

// looksSecret recognises keys whose values may be credentials, which must not
// appear in notes.
func looksSecret(key string) bool {
	k := strings.ToLower(key)
	for _, word := range []string{"token", "secret", "password", "key"} {
		if strings.Contains(k, word) {
			return true
		}
	}
	return false
}
