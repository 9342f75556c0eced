package problem

import (
	"slices"
	"strings"
)

// Together makes one error of several, so that whoever has to act learns all of
// it at once. Nil errors and repetitions are left out; nil for none. The code is
// the first one's, except that an error which says that nothing could be found
// out (unavailable, internal) is returned alone: the others may be its echo.
func Together(errs ...error) error {
	errs = slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err == nil })
	var messages, helps []string
	for _, err := range errs {
		if code := CodeOf(err); code == Unavailable || code == Internal {
			return err
		}
		if m := err.Error(); !slices.Contains(messages, m) {
			messages = append(messages, m)
		}
		if h := HelpOf(err); h != "" && !slices.Contains(helps, h) {
			helps = append(helps, h)
		}
	}
	switch len(messages) {
	case 0:
		return nil
	case 1:
		return errs[0]
	}
	all := New(CodeOf(errs[0]), "", "%s", strings.Join(messages, "; "))
	if first, ok := Of(errs[0]); ok {
		all.Op, all.Message = first.Op, strings.TrimPrefix(all.Message, first.Op+": ")
	}
	all.Help = strings.Join(helps, " ")
	return all
}
