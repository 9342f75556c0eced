package pipeline

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// synonyms maps what other systems call a field or a kind, in small letters
// without separators, to what it may be here. The first that can stand at the
// place is meant.
var synonyms = map[string][]string{
	"name": {"application", "site", "cluster"}, "app": {"application", "cluster"}, "project": {"application"}, "service": {"cluster", "deploy"},
	"pipeline": {"pipelines"}, "workflows": {"pipelines"}, "jobs": {"stages"}, "steps": {"stages", "commands"}, "stage": {"stages"}, "tasks": {"stages"},
	"on": {"triggers"}, "when": {"triggers"}, "events": {"triggers"}, "inputs": {"parameters", "sources"}, "params": {"parameters"}, "variables": {"parameters", "env"}, "arguments": {"parameters"},
	"dependson": {"needs"}, "after": {"needs"}, "requires": {"needs"}, "dependencies": {"needs"}, "need": {"needs"}, "if": {"when"}, "condition": {"when"}, "retries": {"retry", "unhealthy"},
	"repo": {"url", "repository"}, "repository": {"url"}, "uri": {"url"}, "ref": {"branch"}, "revision": {"commit"}, "sha": {"commit"}, "auth": {"credentials"},
	"buildspec": {"spec", "build"}, "file": {"spec"}, "script": {"commands", "run"}, "scripts": {"commands"}, "command": {"commands"}, "cmd": {"command", "commands"}, "entrypoint": {"command"}, "args": {"command"},
	"environment": {"env"}, "envs": {"env"}, "envvars": {"env"}, "vars": {"env"},
	"healthcheck": {"health"}, "healthcheckpath": {"health"}, "probe": {"health"}, "readiness": {"health"}, "readinessprobe": {"health"}, "livenessprobe": {"liveness"},
	"replicas": {"capacity", "desired"}, "instances": {"capacity", "desired"}, "count": {"capacity", "desired"}, "size": {"capacity", "desired"}, "scale": {"capacity"}, "minimum": {"min"}, "maximum": {"max"},
	"http": {"path", "webhook"}, "endpoint": {"path", "url"}, "period": {"interval"}, "initialdelay": {"grace"}, "startperiod": {"grace"}, "successthreshold": {"healthy"}, "failurethreshold": {"unhealthy"},
	"resources": {"limits"}, "cpu": {"cpus"}, "mem": {"memory"}, "graceperiod": {"stopTimeout", "grace"}, "autoscaling": {"scaling"},
	"bucket": {"site"}, "website": {"site", "deploy-site"}, "dir": {"artifact"}, "directory": {"artifact"}, "folder": {"artifact"}, "input": {"artifact", "source"},
	"duration": {"for", "pause"}, "time": {"for"}, "seconds": {"for"}, "delay": {"for", "pause"}, "percent": {"steps"}, "weights": {"steps"},
	"bluegreen": {"red-black"}, "recreate": {"highlander"}, "linear": {"rolling"}, "allatonce": {"highlander"},
	"mean": {"meanTimeBetweenKillsInWorkDays"}, "meandays": {"meanTimeBetweenKillsInWorkDays"}, "meantimebetweenkills": {"meanTimeBetweenKillsInWorkDays"}, "mtbf": {"meanTimeBetweenKillsInWorkDays"},
	"min": {"minTimeBetweenKillsInWorkDays"}, "mindays": {"minTimeBetweenKillsInWorkDays"}, "mintimebetweenkills": {"minTimeBetweenKillsInWorkDays"},
	"regionsindependent": {"regionsAreIndependent"}, "independentregions": {"regionsAreIndependent"}, "timezone": {"zone"}, "tz": {"zone"}, "leashed": {"dryRun"}, "group": {"grouping"}, "groupby": {"grouping"},
	"holidaycalendars": {"holidays"}, "calendars": {"holidays"}, "calendar": {"holidays"}, "exclude": {"exceptions"}, "excludes": {"exceptions"}, "weekdays": {"days"}, "workdays": {"days"},
	"start": {"from"}, "end": {"to"}, "begin": {"from"}, "until": {"to"}, "monkey": {"chaos"}, "chaosmonkey": {"chaos"},
	"checkout": {"git"}, "scm": {"git"}, "clone": {"git"}, "shell": {"run"}, "exec": {"run"}, "test": {"run"},
	"manual": {"approval"}, "judgment": {"approval"}, "manualjudgment": {"approval"}, "approve": {"approval"}, "sleep": {"wait"}, "notify": {"webhook"}, "trigger": {"triggers", "pipeline"}, "release": {"deploy"},
}

// advice is for words of other systems that have no field here.
var advice = map[string]string{
	"port":     "leave it out: every instance is told its PORT, and listens there (docs/service.md)",
	"ports":    "leave it out: every instance is told its PORT, and listens there (docs/service.md)",
	"host":     "leave it out: every instance is told its HOST, and listens there (docs/service.md)",
	"image":    "a service is a program in an artifact: name the artifact and the command (docs/service.md)",
	"regions":  "write waves: [{ regions: [us-west-2] }]; without waves it goes to every region at once",
	"region":   "write waves: [{ regions: [us-west-2] }]; without waves it goes to every region at once",
	"commands": "write the commands into a buildspec, in a file (spec) or here (inline); a run stage has commands and makes no artifact",
	"schedule": "write triggers: [{ schedule: { cron: 0 3 * * * } }]",
	"push":     "write triggers: [{ push: { branches: [main] } }]",
	"poll":     "write triggers: [{ poll: { url: ., branches: [main] } }]",
	"version":  "leave it out: the file has no version of its own",

	"starthour": `write hours: { from: "09:00", to: "15:00" }`,
	"endhour":   `write hours: { from: "09:00", to: "15:00" }`,
	"whitelist": "in Chaos Monkey it means that nothing is ended: write enabled: false, or exceptions",
}

// meant is what a field that does not exist was probably meant to be, or what to
// do instead. within is the field whose mapping has a field of that name.
func (d *decoder) meant(name string, names []string, within string) (suggestion, help string) {
	word := strings.NewReplacer("-", "", "_", "", " ", "", "/", "").Replace(strings.ToLower(name))
	for _, n := range names { // the same name, written in another way
		if strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(n)) == word {
			return n, ""
		}
	}
	for _, candidate := range synonyms[word] {
		if slices.Contains(names, candidate) {
			return candidate, ""
		}
	}
	if s := d.nearest(name, names); s != "" {
		return s, ""
	}
	if text, ok := advice[word]; ok {
		return "", text
	}
	if within != "" {
		return "", fmt.Sprintf("%q is a field of %q: write it there", name, within)
	}
	if sorted := slices.Sorted(slices.Values(names)); len(sorted) > 0 {
		help = "known here: " + strings.Join(sorted, ", ")
	}
	return "", help
}

// shortForms say which field a single value stands for, where people write the
// value alone.
var shortForms = map[reflect.Type]string{
	reflect.TypeFor[Git](): "url", reflect.TypeFor[Wait](): "for", reflect.TypeFor[Health](): "path", reflect.TypeFor[Retry](): "attempts",
	reflect.TypeFor[Approval](): "instructions", reflect.TypeFor[Run](): "commands", reflect.TypeFor[Build](): "spec", reflect.TypeFor[DeploySite](): "site",
	reflect.TypeFor[Call](): "pipeline", reflect.TypeFor[Webhook](): "url", reflect.TypeFor[Wave](): "regions", reflect.TypeFor[Deploy](): "cluster",
}

// mappingFor is how to write a value as the mapping that is wanted: "" when that
// is not known.
func mappingFor(n *yaml.Node, t reflect.Type) string {
	if n.Kind == yaml.SequenceNode {
		if t == reflect.TypeFor[Wave]() {
			return "write { regions: [" + strings.Join(scalars(n), ", ") + "] }"
		}
		return ""
	}
	if n.Kind != yaml.ScalarNode {
		return ""
	}
	value := quoteForFlow(firstLine(n.Value))
	switch t {
	case reflect.TypeFor[Capacity]():
		if n.Tag == "!!int" {
			return fmt.Sprintf("write { min: %[1]s, desired: %[1]s, max: %[1]s }", n.Value)
		}
	case reflect.TypeFor[Build]():
		if strings.Contains(n.Value, " ") {
			return "a build follows a buildspec: write the command into buildspec.yml and {} here; a run stage takes commands and makes no artifact"
		}
	case reflect.TypeFor[Run]():
		return "write { commands: [" + value + "] }"
	case reflect.TypeFor[ChaosHours]():
		return hoursFor(n.Value)
	case reflect.TypeFor[Chaos]():
		if n.Tag == "!!bool" {
			return "write { enabled: " + n.Value + " }"
		}
	case reflect.TypeFor[Wave]():
		return "write { regions: [" + value + "] }"
	case reflect.TypeFor[Retry]():
		if n.Tag != "!!int" {
			return ""
		}
	}
	if n.Tag == "!!bool" {
		return "write {}"
	}
	if field := shortForms[t]; field != "" {
		return "write { " + field + ": " + value + " }"
	}
	return ""
}

func scalars(n *yaml.Node) []string {
	var list []string
	for _, item := range n.Content {
		list = append(list, quoteForFlow(firstLine(item.Value)))
	}
	return list
}

// listFor is how to write a value as the list that is wanted. A command is a
// program and its arguments; any other text is one item.
func listFor(n *yaml.Node, f *field, t reflect.Type) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "put it into a list: begin it with a dash"
	case n.Kind != yaml.ScalarNode:
		return ""
	case f.name == "command":
		return "write " + argv(n.Value)
	case t.Elem().Kind() == reflect.Struct:
		if inner := mappingFor(n, t.Elem()); strings.HasPrefix(inner, "write {") {
			return "write [" + strings.TrimPrefix(inner, "write ") + "]"
		}
		return ""
	}
	return "write [" + quoteForFlow(firstLine(n.Value)) + "]"
}

// shellOnly is what only a shell understands.
var shellOnly = regexp.MustCompile("[|&;<>$`(){}*?'\"\\\\~#\n]|^[A-Za-z_][A-Za-z0-9_]*=")

// argv writes a command line as a program and its arguments.
func argv(line string) string {
	if shellOnly.MatchString(line) {
		return "[sh, -c, " + strconv.Quote(strings.TrimSpace(line)) + "]"
	}
	words := strings.Fields(line)
	for i, w := range words {
		words[i] = quoteForFlow(w)
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// checkCommand warns of a command line that stands as the name of a program.
func (d *decoder) checkCommand(n *yaml.Node, f *field) {
	if f.name != "command" || len(n.Content) != 1 || n.Content[0].Kind != yaml.ScalarNode {
		return
	}
	line := strings.TrimSpace(n.Content[0].Value)
	if !strings.Contains(line, " ") || hasExpression(line) {
		return
	}
	d.reportWith(n.Content[0], Diagnostic{Severity: SeverityWarning, Code: CodeValue, Help: "write " + argv(line),
		Message: fmt.Sprintf("%s has one item: there is no shell, so the program's name is %q", d.subject(), shorten(firstLine(line), 60))})
}

// mapFor is how to write a list such as [A=1, B=2] as a mapping.
func mapFor(n *yaml.Node) string {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		return ""
	}
	var parts []string
	for _, item := range n.Content {
		key, value, ok := strings.Cut(item.Value, "=")
		switch {
		case item.Kind == yaml.ScalarNode && ok:
			parts = append(parts, key+": "+strconv.Quote(value))
		case item.Kind == yaml.MappingNode && len(item.Content) == 2 && item.Content[1].Kind == yaml.ScalarNode:
			parts = append(parts, item.Content[0].Value+": "+strconv.Quote(item.Content[1].Value))
		default:
			return "write names and values without the dashes"
		}
	}
	return "write { " + strings.Join(parts, ", ") + " }"
}

var looseUnits = map[string]string{
	"ms": "ms", "millisecond": "ms", "milliseconds": "ms", "msec": "ms",
	"s": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s",
	"m": "m", "min": "m", "mins": "m", "minute": "m", "minutes": "m",
	"h": "h", "hr": "h", "hrs": "h", "hour": "h", "hours": "h", "d": "d", "day": "d", "days": "d",
}

var loose = regexp.MustCompile(`^\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\s*$`)

// durationFor is the duration that a text or a number was probably meant to be,
// and what else it may be.
func durationFor(n *yaml.Node) (suggestion, help string) {
	if m := loose.FindStringSubmatch(n.Value); m != nil {
		if unit, ok := looseUnits[strings.ToLower(m[2])]; ok {
			return m[1] + unit, ""
		}
		return "", ""
	}
	number, err := strconv.ParseFloat(n.Value, 64)
	switch {
	case err != nil || number < 0:
		return "", ""
	case number >= 100: // of milliseconds, which other systems count in
		return n.Value + "ms", fmt.Sprintf("Or %q: a duration has a unit.", n.Value+"s")
	}
	return n.Value + "s", ""
}

// numberFor is how to write the number that a text was probably meant to be.
func numberFor(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
		return ""
	}
	text := strings.TrimSpace(n.Value)
	if percent, ok := strings.CutSuffix(text, "%"); ok {
		if v, err := strconv.ParseFloat(strings.TrimSpace(percent), 64); err == nil {
			return "write " + strconv.FormatFloat(v/100, 'f', -1, 64)
		}
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return "write " + text + ", without quotes"
	}
	return ""
}

// nameFor is a name that keeps the words of a text that cannot be a name.
func nameFor(text string, rule format) string {
	var b strings.Builder
	for _, c := range strings.ToLower(text) {
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			b.WriteRune(c)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	name := strings.Trim(b.String(), "-")
	if name == "" || rule.accepts(name) != nil {
		return ""
	}
	return name
}

// textFor is a text that the rule accepts and that keeps what was written.
func textFor(check, text string, rule format) string {
	switch check {
	case "urlpath":
		if path := "/" + strings.TrimLeft(text, "/"); rule.accepts(path) == nil {
			return path
		}
	case "name", "application", "site", "region", "secret", "cluster":
		return nameFor(text, rule)
	case "holiday":
		return holidayFor(text)
	}
	return ""
}
