package importer

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"showrunner/pipeline"
)

// common converts the members that every stage may have. It returns false for a
// stage that acts under a condition that cannot be carried over: it must not act
// where the original would not.
func (s *spinnaker) common(st cursor, out *pipeline.Stage, ref string) bool {
	acts := out.Kind == "webhook" || out.Kind == "pipeline"
	out.Description = strings.TrimSpace(s.text(st.get("comments")))
	s.failurePolicy(st, out)
	if ms := st.get("stageTimeoutMs"); ms.ok() {
		if n := ms.count("stageTimeoutMs"); n > 0 && out.Kind != "approval" { // the stage expires by itself
			out.Timeout = pipeline.Duration(time.Duration(n) * time.Millisecond)
		}
	}
	st.get("overrideTimeout").leave(Info, "overrideTimeout", "a timeout that is given applies")
	if e := st.get("stageEnabled"); e.ok() {
		expression := e.get("expression")
		if text := strings.TrimSpace(expression.text()); text != "" {
			if w, ok := s.condition(text, ref); ok {
				out.When = w
			} else if acts {
				s.in.note(Error, st.path, "stageEnabled "+unmark(text), "the condition has no plain equivalent: the stage is left out, and what needed it needs what it needed; write it with its condition as `when:`")
				return false
			} else {
				s.in.note(Error, expression.path, "stageEnabled "+unmark(text), "the condition has no plain equivalent: the stage always runs; write it as `when:`")
			}
		}
		e.get("type").note(Info, "type "+e.get("type").static(), "a condition is an expression here")
	}
	if restrict := st.get("restrictExecutionDuringTimeWindow"); s.decision(restrict, "restrictExecutionDuringTimeWindow", false) {
		if s.window(st.get("restrictedExecutionWindow"), out); len(out.Windows) == 0 {
			restrict.note(Warning, "restrictExecutionDuringTimeWindow", "the window names no hours and no days, so the stage starts at any time")
		}
	} else {
		st.get("restrictedExecutionWindow").leave(Info, "restrictedExecutionWindow", "it is off")
	}
	st.get("isNew").leave(Info, "isNew", "a mark of Spinnaker's editor")
	st.get("alias").leave(Info, "alias", "a mark of Spinnaker's editor")
	if n := st.get("notifications"); len(n.items()) > 0 {
		n.leave(Warning, "notifications", "no message is sent: the console and the API's event stream show what happens")
	}
	st.get("sendNotifications").leave(Info, "sendNotifications", "it goes with the notifications")
	st.get("notifications").leave(Info, "notifications", "there are none")
	return true
}

func (s *spinnaker) failurePolicy(st cursor, out *pipeline.Stage) {
	fail, goOn, atEnd := st.get("failPipeline"), st.get("continuePipeline"), st.get("completeOtherBranchesThenFail")
	fails := s.decision(fail, "failPipeline", true)
	switch {
	case s.decision(goOn, "continuePipeline", false):
		out.OnFailure = pipeline.Continue
		fail.note(Info, "failPipeline", "continuePipeline decides")
		atEnd.note(Info, "completeOtherBranchesThenFail", "continuePipeline decides")
	case !fails && s.decision(atEnd, "completeOtherBranchesThenFail", false):
		out.OnFailure = pipeline.FailAtEnd
	case !fails:
		out.OnFailure = pipeline.HaltBranch
	default:
		fail.note(Info, "failPipeline", "it is what a failed stage does by itself")
		atEnd.note(Info, "completeOtherBranchesThenFail", "it goes with failPipeline off")
	}
	st.get("failOnFailedExpressions").leave(Info, "failOnFailedExpressions", "an expression that fails always fails its stage")
}

// decision reads a member of a stage that is true or false; absent is its value
// where the document has none. Spinnaker evaluates expressions in such a member
// when it runs the stage, and that is not carried over.
func (s *spinnaker) decision(f cursor, what string, absent bool) bool {
	text := strings.TrimSpace(f.static())
	switch {
	case text == "":
		return absent
	case strings.EqualFold(text, "true"), strings.EqualFold(text, "false"):
		return strings.EqualFold(text, "true")
	}
	f.note(Error, what+" "+text, "neither true nor false before the stage runs: it is left out, and the stage is written as if it were %t; check the stage", absent)
	return absent
}

// window converts restricted execution. Spinnaker has one global zone,
// America/Los_Angeles by default. A window whose hours or days cannot be read is
// left out rather than guessed.
func (s *spinnaker) window(w cursor, out *pipeline.Stage) {
	var days []string
	given := w.get("days").items()
	for _, d := range given {
		if n := d.number(); n >= 1 && n <= 7 {
			days = append(days, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}[n-1])
		} else {
			d.note(Warning, "day "+d.static(), "days count from 1, which is Sunday, to 7: it is left out")
		}
	}
	w.get("jitter").leave(Info, "jitter", "stages start when their window opens")
	if len(given) > 0 && len(days) == 0 {
		w.leave(Error, "restrictedExecutionWindow", "none of its days can be read: it is left out, and the stage starts at any time; write it as `windows:`")
		return
	}
	hours := w.get("whitelist").items()
	for _, item := range hours {
		from, ok := s.clock(item, "startHour", "startMin")
		to, also := s.clock(item, "endHour", "endMin")
		if !ok || !also {
			item.leave(Error, "window "+encode(item.raw), "its hours are no times of day: it is left out; write it as `windows:`")
			continue
		}
		if from == to {
			from, to = "00:00", "23:59"
		}
		out.Windows = append(out.Windows, pipeline.Window{Days: days, Zone: spinnakerZone, From: from, To: to})
	}
	if len(hours) == 0 && len(days) > 0 {
		out.Windows = []pipeline.Window{{Days: days, From: "00:00", To: "23:59", Zone: spinnakerZone}}
	}
	if len(out.Windows) > 0 {
		s.zone(w.path)
	}
}

// clock reads a time of day. An absent hour or minute is 0.
func (s *spinnaker) clock(c cursor, hour, minute string) (string, bool) {
	valid := true
	part := func(f cursor, most int) int {
		n, err := strconv.Atoi(f.static())
		if f.ok() && (err != nil || n < 0 || n > most) {
			valid = false
		}
		return n
	}
	return fmt.Sprintf("%02d:%02d", part(c.get(hour), 24)%24, part(c.get(minute), 59)), valid
}

// spinnakerZone is Spinnaker's default time zone.
const spinnakerZone = "America/Los_Angeles"

// zone is the time zone of windows and schedules. It is a setting of Spinnaker
// that no document holds.
func (s *spinnaker) zone(path string) string {
	s.in.invent(path, "time zone", spinnakerZone, "it is a setting of Spinnaker itself, and that is its default; write the right one into the file")
	return spinnakerZone
}

func (s *spinnaker) triggers() {
	if s.def.get("disabled").boolean() {
		s.def.get("triggers").leave(Warning, "triggers", "the pipeline is disabled")
		return
	}
	for _, t := range s.def.get("triggers").items() {
		kind := t.get("type").static()
		if e := t.get("enabled"); e.ok() && !e.boolean() {
			t.leave(Info, "trigger "+kind, "it is disabled, so it is left out")
			continue
		}
		if out, ok := s.trigger(t, kind); ok {
			if !s.mergeWebhook(out.Webhook) {
				s.in.carryTrigger(s.out, out, "trigger "+kind, t.path)
				s.out.Triggers = append(s.out.Triggers, out)
			}
			t.get("id").leave(Info, "id", "the original's address")
			continue
		}
		if slices.ContainsFunc(s.in.notes, func(n Note) bool { return n.Path == t.path }) {
			t.ignore()
			continue
		}
		t.leave(Error, "trigger "+kind, "it is left out")
	}
}

// mergeWebhook merges a webhook into an earlier one with the same source, if there is
// one: an address exists once, and starts the pipeline when the constraints of
// either are met.
func (s *spinnaker) mergeWebhook(w *pipeline.WebhookTrigger) bool {
	for _, other := range s.out.Triggers {
		o := other.Webhook
		switch {
		case w == nil || o == nil || o.Name != w.Name:
			continue
		case o.When == "" || w.When == "":
			o.When = ""
		default:
			o.When = "(" + o.When + ") || (" + w.When + ")"
		}
		return true
	}
	return false
}

// parameterValues are the values that a trigger passes to the pipeline's parameters.
func (s *spinnaker) parameterValues(t cursor) map[string]string {
	var out map[string]string
	keys, values := t.get("parameters").members()
	for i, k := range keys {
		name := identifier(k)
		if !s.hasParameter(name) {
			values[i].leave(Warning, "parameters "+k, "the pipeline has no such parameter")
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[name] = unmark(s.plain(values[i]))
	}
	return out
}

// isPushTrigger tells whether a git trigger is about pushes: it then has no events.
func isPushTrigger(events []string) bool {
	return len(events) == 0 || slices.ContainsFunc(events, func(e string) bool {
		return strings.Contains(e, "push") || strings.Contains(e, "refs_changed")
	})
}

func (s *spinnaker) trigger(t cursor, kind string) (pipeline.Trigger, bool) {
	switch kind {
	case "cron":
		e := t.get("cronExpression")
		cron, err := fiveFields(e.static(), true)
		if err != nil {
			s.in.note(Error, e.path, "cron "+e.static(), "cannot be expressed in five cron fields: %v", err)
			return pipeline.Trigger{}, false
		}
		return pipeline.Trigger{Schedule: &pipeline.ScheduleTrigger{Cron: cron, Zone: s.zone(e.path), Parameters: s.parameterValues(t)}}, true
	case "git":
		t.get("source").note(Info, "source "+t.get("source").static(), "a push trigger takes the deliveries of any host that are signed with its secret")
		if events := t.get("events"); !isPushTrigger(events.texts()) {
			s.in.note(Error, events.path, "events "+strings.Join(events.texts(), ", "), "only pushes start something here: the trigger is left out")
			return pipeline.Trigger{}, false
		}
		p := &pipeline.PushTrigger{Secret: "webhook", Parameters: s.parameterValues(t)}
		if project, slug := t.get("project").static(), t.get("slug").static(); project != "" || slug != "" {
			p.Repository = project + "/" + slug
		}
		if secret := t.get("secret"); secret.ok() && secret.text() != "" {
			p.Secret = s.in.secretName(s.name+"-webhook", "the text that signs the push webhook of "+p.Repository, secret.path)
			s.in.note(Warning, secret.path, "a secret in the clear", "it was not copied: set it as the secret %s, and renew it, since everybody who could read the document knows it", p.Secret)
		} else {
			p.Secret = s.in.secretName("webhook", "any random text: it signs push webhooks", t.path)
		}
		if branch := t.get("branch").static(); branch != "" {
			p.Branches = s.branch(t.get("branch").path, branch)
		}
		return pipeline.Trigger{Push: p}, true
	case "webhook":
		w := &pipeline.WebhookTrigger{Name: slug(t.get("source").static(), "hook", 50)}
		w.Secret = s.in.secretName("webhook", "any random text: it signs webhooks", t.path)
		var checks []string
		keys, values := t.get("payloadConstraints").members()
		for i, k := range keys {
			check, why := payloadConstraint(k, values[i].static())
			if why != "" {
				s.in.note(Error, values[i].path, "payloadConstraints "+k, "%s: the trigger is left out", why)
				return pipeline.Trigger{}, false
			}
			checks = append(checks, check)
		}
		w.When = strings.Join(checks, " && ")
		return pipeline.Trigger{Webhook: w}, true
	case "pipeline":
		p := &pipeline.PipelineTrigger{Pipeline: s.siblings[t.get("pipeline").static()], Parameters: s.parameterValues(t)}
		if p.Pipeline == "" {
			s.in.note(Error, t.path, "pipeline trigger", "pipeline %s is not in this document (Spinnaker names it by its id): import it in one list with this one, or write the trigger with its name", t.get("pipeline").static())
			return pipeline.Trigger{}, false
		}
		t.get("application").leave(Info, "application", "the pipeline is in this document")
		for _, status := range t.get("status").items() {
			switch v := status.static(); v {
			case "successful":
				p.Status = append(p.Status, "succeeded")
			case "failed", "canceled":
				p.Status = append(p.Status, v)
			default:
				status.note(Warning, "status "+v, "a pipeline here ends as succeeded, failed or canceled")
			}
		}
		return pipeline.Trigger{Pipeline: p}, true
	}
	s.in.note(Error, t.path, "trigger "+kind, "nothing like it starts a pipeline here: call its webhook instead")
	return pipeline.Trigger{}, false
}

// plainBranch matches the name of a branch whose dots are certainly literal.
var plainBranch = regexp.MustCompile(`^[A-Za-z0-9._/-]*$`)

// branch turns Spinnaker's regular expression into globs where it clearly equals
// a glob.
func (s *spinnaker) branch(path, expression string) []string {
	text := strings.TrimSuffix(strings.TrimPrefix(expression, "^"), "$")
	before, open := strings.CutSuffix(text, ".*")
	switch {
	case !plainBranch.MatchString(before):
	case !open:
		return []string{before}
	case before == "", strings.HasSuffix(before, "/"):
		return []string{before + "**"}
	default: // ".*" goes over slashes, which "*" does not
		return []string{before + "*", before + "*/**"}
	}
	s.in.note(Warning, path, "branch "+expression, "the regular expression cannot be written as a glob: pushes to every branch start the pipeline")
	return []string{"**"}
}

// spinnakerReasons say why a member has no meaning here.
var spinnakerReasons = map[string]struct {
	why      string
	severity Severity
}{
	"id":                    {"the original's address", Info},
	"application":           {"the file's own application", Info},
	"index":                 {"the order in Spinnaker's list", Info},
	"lastmodifiedby":        {"who wrote a pipeline file is in its repository", Info},
	"updatets":              {"when a pipeline file was written is in its repository", Info},
	"schema":                {"the version of Spinnaker's own form", Info},
	"spelevaluator":         {"expressions are written in one language here", Info},
	"locked":                {"a pipeline file is protected where it lives, in its repository", Info},
	"roles":                 {"who may start a pipeline is not in its file", Warning},
	"tags":                  {"the pipeline file has no tags", Info},
	"respectquietperiod":    {"freezes hold every pipeline that they select", Info},
	"manualstartalert":      {"there is no question before a start by hand", Info},
	"notifications":         {"no message is sent: the console and the API's event stream show what happens", Warning},
	"expectedartifacts":     {"artifacts come from the stages that make them", Warning},
	"expectedartifactids":   {"artifacts come from the stages that make them", Warning},
	"runasuser":             {"an execution runs with what its stages refer to", Warning},
	"appconfig":             {"settings of the pipeline's page", Info},
	"parallel":              {"stages are parallel by their needs", Info},
	"constraint":            {"the form of a parameter's value is not checked", Info},
	"condition":             {"a parameter is always asked for", Info},
	"lastexecution":         {"the history of the original", Info},
	"dynamicsourceprefixes": {"it has no equivalent", Info},
}

func unreadSpinnaker(_, key string) (string, Severity) {
	if r, ok := spinnakerReasons[strings.ToLower(key)]; ok {
		return r.why, r.severity
	}
	return "it has no equivalent", Warning
}
