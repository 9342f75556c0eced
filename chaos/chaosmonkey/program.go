package chaosmonkey

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"showrunner/pipeline"
)

// Program are the settings of Chaos Monkey itself: chaosmonkey.toml.
type Program struct {
	Enabled         bool
	Leashed         bool // true: it decides and logs, and ends nothing
	ScheduleEnabled bool
	Accounts        []string
	StartHour       int
	EndHour         int
	TimeZone        string
	MaxApps         int
	Cron            string // when it schedules; "" for its default
	// Given are the keys that the file sets, such as "chaosmonkey.start_hour".
	Given []string

	zone *time.Location
	days cron.Schedule
}

// DefaultProgram are the settings without a file.
func DefaultProgram() Program {
	return Program{Leashed: true, StartHour: 9, EndHour: 15, TimeZone: "America/Los_Angeles", MaxApps: 1<<31 - 1}
}

// sections are the keys that Chaos Monkey reads, by section.
var sections = map[string][]string{
	"chaosmonkey": {"enabled", "leashed", "schedule_enabled", "accounts", "start_hour", "end_hour", "time_zone", "max_apps", "trackers", "error_counter", "decryptor", "outage_checker",
		"cron_path", "term_path", "term_account", "schedule_cron_path", "schedule_path", "log_path", "cron_expression"},
	"database":  {"host", "port", "user", "encrypted_password", "name"},
	"spinnaker": {"endpoint", "certificate", "encrypted_password", "user", "x509_cert", "x509_key"},
	"dynamic":   {"provider", "endpoint", "path"},
}

// program reads the document of chaosmonkey.toml.
func (r *reader) program(root *node) Program {
	p := DefaultProgram()
	r.unknown(root, "the file", []string{"chaosmonkey", "database", "spinnaker", "dynamic"})
	for _, m := range root.members {
		known := sections[m.name]
		if known == nil {
			continue
		}
		if m.value.kind != object {
			r.wrong(m.value, "write ["+m.name+"] and its settings below", "%s must be a section, not %s", m.name, m.value.describe())
			continue
		}
		r.unknown(m.value, "section "+m.name, known)
		for _, k := range m.value.members {
			p.Given = append(p.Given, m.name+"."+k.name)
		}
	}
	c := root.get("chaosmonkey")
	if c == nil || c.kind != object {
		return p
	}
	where := func(name string) string { return "chaosmonkey." + name }
	r.boolean(c.get("enabled"), where("enabled"), &p.Enabled)
	r.boolean(c.get("leashed"), where("leashed"), &p.Leashed)
	r.boolean(c.get("schedule_enabled"), where("schedule_enabled"), &p.ScheduleEnabled)
	r.strings(c.get("accounts"), where("accounts"), &p.Accounts)
	r.whole(c.get("start_hour"), where("start_hour"), 0, 23, &p.StartHour)
	r.whole(c.get("end_hour"), where("end_hour"), 1, 24, &p.EndHour)
	r.whole(c.get("max_apps"), where("max_apps"), 0, 1<<31-1, &p.MaxApps)
	r.words(c.get("time_zone"), where("time_zone"), &p.TimeZone)
	r.words(c.get("cron_expression"), where("cron_expression"), &p.Cron)
	r.programRules(c, &p)
	return p
}

// programRules makes the checks over several settings, and reads zone and cron.
func (r *reader) programRules(c *node, p *Program) {
	if p.EndHour <= p.StartHour {
		n := c.get("end_hour")
		if n == nil {
			n = c.get("start_hour")
		}
		if n != nil {
			r.wrong(n, "hours are of one day: Chaos Monkey itself stops with an error here", "end_hour %d is not after start_hour %d, so no instance could ever end", p.EndHour, p.StartHour)
		}
	}
	var err error
	if p.zone, err = time.LoadLocation(p.TimeZone); err != nil || strings.EqualFold(p.TimeZone, "local") {
		if n := c.get("time_zone"); n != nil {
			r.wrong(n, "use a name of the IANA database, such as America/Los_Angeles", "time_zone %s is no time zone", quoted(p.TimeZone))
		}
		p.zone = time.UTC
	}
	if p.Cron != "" {
		if p.days, err = cron.ParseStandard(p.Cron); err != nil {
			r.wrong(c.get("cron_expression"), "five fields: minute, hour, day of the month, month, day of the week", "cron_expression %s: %v", quoted(p.Cron), err)
			p.days = nil
		}
	}
	for _, name := range []string{"outage_checker", "error_counter", "decryptor"} {
		var v string
		if n := c.get(name); r.words(n, "chaosmonkey."+name, &v) && v != "" {
			r.warn(n, "", "%s %s is a plug-in of another program and is not used here", name, quoted(v))
		}
	}
	var trackers []string
	if n := c.get("trackers"); r.strings(n, "chaosmonkey.trackers", &trackers) && len(trackers) > 0 {
		r.warn(n, "showrunner subscriptions sends each kill to a webhook", "trackers %s are plug-ins of another program and are not used here", strings.Join(trackers, ", "))
	}
}

// Scheduled tells whether Chaos Monkey schedules on a day: its cron fires then.
// The default is Monday to Friday.
func (p Program) Scheduled(year int, month time.Month, day int) bool {
	start := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	if p.days == nil {
		return start.Weekday() >= time.Monday && start.Weekday() <= time.Friday
	}
	return p.days.Next(start.Add(-time.Second)).Before(start.AddDate(0, 0, 1))
}

// Weekdays are the days of the week of the cron expression, when it fires on them
// alone; ok is false when it also chooses days of the month or months.
func (p Program) Weekdays() (names []string, ok bool) {
	if p.days == nil {
		return nil, true
	}
	fields := strings.Fields(p.Cron)
	if len(fields) == 5 && (fields[2] != "*" && fields[2] != "?" || fields[3] != "*") || len(fields) == 1 && fields[0] != "@daily" && fields[0] != "@midnight" && fields[0] != "@hourly" && fields[0] != "@weekly" {
		return nil, false
	}
	for i := range 7 {
		d := time.Date(2026, time.June, 1+i, 0, 0, 0, 0, time.UTC) // the first is a Monday
		if p.Scheduled(d.Date()) {
			names = append(names, strings.ToLower(d.Weekday().String()[:3]))
		}
	}
	return names, len(names) > 0
}

// Inert says why Chaos Monkey ends nothing with these settings, "" when it does.
func (p Program) Inert() string {
	switch {
	case !p.ScheduleEnabled:
		return fmt.Sprintf("chaosmonkey.schedule_enabled is false%s: nothing is scheduled", p.unless("chaosmonkey.schedule_enabled"))
	case !p.Enabled:
		return fmt.Sprintf("chaosmonkey.enabled is false%s: nothing is ended", p.unless("chaosmonkey.enabled"))
	case len(p.Accounts) == 0:
		return fmt.Sprintf("chaosmonkey.accounts names no account%s: nothing is ended", p.unless("chaosmonkey.accounts"))
	}
	return ""
}

func (p Program) unless(key string) string {
	for _, k := range p.Given {
		if k == key {
			return ""
		}
	}
	return " (the default)"
}

// Hours are the settings' hours for the pipeline file.
func (p Program) Hours() *pipeline.ChaosHours {
	return &pipeline.ChaosHours{From: fmt.Sprintf("%02d:00", p.StartHour), To: fmt.Sprintf("%02d:00", p.EndHour)}
}
