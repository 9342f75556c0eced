package importer

import (
	"fmt"
	"path"
	"sort"
	"strings"
)

// header is the comment at the top of the file: its origin, what has to be set,
// what its outputs mean, and what is missing.
func header(in *input, r Result, kind string) []byte {
	var b strings.Builder
	line := func(format string, args ...any) {
		text := strings.TrimRight(comment(fmt.Sprintf(format, args...)), " ")
		if text == "" {
			b.WriteString("#\n")
			return
		}
		b.WriteString("# " + text + "\n")
	}
	if in.opts.Here {
		line("Made from the %s at the endpoint for clients of AWS.", in.opts.File)
		line("It is made anew when that changes: change it there, or apply a file of your own in its place.")
	} else {
		line("Imported by `showrunner import %s` from %s.", kind, path.Base(strings.ReplaceAll(in.opts.File, `\`, "/")))
	}
	if len(r.Secrets) > 0 && !in.opts.Here {
		line("")
		line("Secrets to set before the first run, each with `showrunner secret set NAME`:")
		for _, s := range r.Secrets {
			line("  %s: %s", s.Name, s.Source)
		}
	}
	if len(r.Outputs) > 0 {
		line("")
		line("Outputs of the original, and what they mean here:")
		for _, o := range r.Outputs {
			if o.Value == "" {
				line("  %s: nothing", o.Name)
				continue
			}
			line("  %s: %s", o.Name, o.Value)
		}
	}
	if len(r.Files) > 0 {
		line("")
		line("The buildspecs below are also in files, for `showrunner build --spec FILE DIR`:")
		names := make([]string, 0, len(r.Files))
		for name := range r.Files {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, n := range names {
			line("  %s", n)
		}
	}
	notCarried(r, line)
	return []byte(b.String() + "\n")
}

func notCarried(r Result, line func(string, ...any)) {
	info, said := 0, false
	for _, n := range r.NotCarried {
		if n.Severity == Info {
			info++
			continue
		}
		if !said {
			line("")
			line("Not carried over (paths are JSON pointers into the original):")
			said = true
		}
		line("  %s", strings.TrimSpace(string(n.Severity)+" "+n.Path))
		line("    %s: %s", n.What, n.Why)
	}
	if info > 0 {
		line("")
		line("%d more parts of the original have no meaning here; `showrunner import … -o json` lists them.", info)
	}
}

// comment keeps text of the source document on its comment line.
func comment(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t' || r == '\u0085' || r == '\u2028' || r == '\u2029':
			return ' '
		case r < 0x20 || (r >= 0x7f && r < 0xa0) || r == '\ufeff' || r == '\ufffe' || r == '\uffff':
			return -1
		}
		return r
	}, s)
}
