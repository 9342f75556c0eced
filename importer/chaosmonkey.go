package importer

import (
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	"showrunner/chaos/chaosmonkey"
	"showrunner/pipeline"
	"showrunner/problem"
)

// ChaosFile is one document of Chaos Monkey's settings.
type ChaosFile struct {
	Name string
	Src  []byte
}

// ChaosResult are settings of Chaos Monkey as blocks of pipeline files.
type ChaosResult struct {
	Blocks []ChaosBlock `json:"applications"`
	// Carried lists the origin of each setting of a block.
	Carried []Carried `json:"carried"`
	// NotCarried lists everything that has no equivalent, or another meaning here.
	NotCarried []Note `json:"notCarried"`
	// Diagnostics are warnings about the documents.
	Diagnostics pipeline.Diagnostics `json:"diagnostics,omitempty"`
}

// ChaosBlock is the block of one application.
type ChaosBlock struct {
	Application string          `json:"application"`
	Chaos       *pipeline.Chaos `json:"chaos"`
	// YAML is a document with the application's name and the block.
	YAML []byte `json:"-"`
}

// programReasons say what becomes of the settings of Chaos Monkey itself that are no
// part of a block, by key or by section.
var programReasons = map[string]struct {
	why      string
	severity Severity
}{
	"chaosmonkey.accounts":           {"every account of the control plane counts: add an exception for each account that has to be left out", Warning},
	"chaosmonkey.max_apps":           {"the schedule has no limit of applications: an application opts in with its block", Info},
	"chaosmonkey.trackers":           {"plug-ins of another program: `showrunner subscriptions` sends each kill to a webhook", Warning},
	"chaosmonkey.error_counter":      {"a plug-in of another program: the metrics count refused and failed kills", Warning},
	"chaosmonkey.outage_checker":     {"a plug-in of another program: a freeze and `showrunner chaos stop` end all kills", Warning},
	"chaosmonkey.decryptor":          {"no password is needed", Info},
	"chaosmonkey.cron_path":          {"the control plane keeps the schedule: no cron is involved", Info},
	"chaosmonkey.term_path":          {"the control plane ends instances itself", Info},
	"chaosmonkey.term_account":       {"the control plane ends instances itself", Info},
	"chaosmonkey.schedule_path":      {"the control plane keeps the schedule: no cron is involved", Info},
	"chaosmonkey.log_path":           {"every kill is in the event log", Info},
	"database":                       {"the schedule and the kills are in the control plane's own database", Info},
	"spinnaker":                      {"instances are found and ended by the control plane, not through Spinnaker", Info},
	"dynamic":                        {"settings are those of the pipeline file", Warning},
	"chaosmonkey.schedule_cron_path": {"the control plane keeps the schedule: no cron is involved", Info},
}

// carriedProgram are the settings of Chaos Monkey itself that a block has.
var carriedProgram = map[string]string{
	"chaosmonkey.enabled": "enabled", "chaosmonkey.schedule_enabled": "enabled", "chaosmonkey.leashed": "dryRun",
	"chaosmonkey.start_hour": "hours", "chaosmonkey.end_hour": "hours", "chaosmonkey.time_zone": "zone", "chaosmonkey.cron_expression": "days",
}

// ChaosMonkey turns the settings of Chaos Monkey into blocks of pipeline files: of
// each application in the documents one, under the settings of a chaosmonkey.toml
// where there is one among them. Errors: invalid, with the first finding.
func ChaosMonkey(files []ChaosFile, application string) (ChaosResult, pipeline.Diagnostics, error) {
	const op = "import.chaosmonkey"
	r := ChaosResult{Blocks: []ChaosBlock{}, Carried: []Carried{}, NotCarried: []Note{}}
	var program *chaosmonkey.Program
	var programFile string
	var apps []chaosmonkey.Application
	var ds pipeline.Diagnostics
	for _, f := range files {
		if !chaosmonkey.Is(f.Src) {
			return r, nil, problem.New(problem.Invalid, op, "%s is neither JSON nor TOML", f.Name).
				WithHelp("give an application as Spinnaker's GET /applications/NAME answers it, or chaosmonkey.toml")
		}
		doc, found := chaosmonkey.Read(f.Name, f.Src)
		ds = append(ds, found...)
		if doc == nil {
			continue
		}
		if doc.Program != nil {
			program, programFile = doc.Program, f.Name
		}
		apps = append(apps, doc.Applications...)
	}
	if ds.HasErrors() {
		return r, ds, ds.Err()
	}
	if len(apps) == 0 {
		return r, nil, problem.New(problem.Invalid, op, "the documents name no application").
			WithHelp("applications are in Spinnaker: give what its GET /applications/NAME answers, beside chaosmonkey.toml")
	}
	if application != "" && len(apps) > 1 {
		return r, nil, problem.New(problem.Invalid, op, "--application names one application, and the documents have %d", len(apps)).WithHelp("leave it out: each keeps its name")
	}
	if program == nil {
		r.note(Warning, "", "chaosmonkey.toml", "it was not given: hours and zone are its defaults, 09:00 to 15:00 of America/Los_Angeles; whether it was enabled and leashed is not known")
	} else {
		r.program(program, programFile)
	}
	for _, a := range apps {
		if application != "" {
			a.Name = application
		}
		if err := r.application(a, program); err != nil {
			return r, ds, err
		}
	}
	r.Diagnostics = ds
	rank := map[Severity]int{Error: 0, Warning: 1, Info: 2}
	sort.SliceStable(r.NotCarried, func(i, j int) bool { return rank[r.NotCarried[i].Severity] < rank[r.NotCarried[j].Severity] })
	return r, nil, nil
}

func (r *ChaosResult) note(severity Severity, path, what, why string) {
	r.NotCarried = append(r.NotCarried, Note{Path: path, What: what, Why: why, Severity: severity})
}

// program accounts for each key of chaosmonkey.toml.
func (r *ChaosResult) program(p *chaosmonkey.Program, file string) {
	for _, key := range p.Given {
		section, _, _ := strings.Cut(key, ".")
		at := "/" + strings.ReplaceAll(key, ".", "/")
		if to, ok := carriedProgram[key]; ok {
			if _, whole := p.Weekdays(); key == "chaosmonkey.cron_expression" && !whole {
				r.note(Error, at, "cron_expression", "it chooses days of the month or months: a block knows days of the week and holidays alone, so every day from Monday to Friday counts")
				continue
			}
			r.Carried = append(r.Carried, Carried{To: to, Kind: "chaos", What: path.Base(file) + ": " + key, Path: at})
			continue
		}
		reason, ok := programReasons[key]
		if !ok {
			reason, ok = programReasons[section]
		}
		if !ok {
			reason.why, reason.severity = "no version of Chaos Monkey reads it", Info
		}
		r.note(reason.severity, at, key, reason.why)
	}
	if days, ok := p.Weekdays(); ok && len(days) > 0 && !slices.Equal(days, []string{"mon", "tue", "wed", "thu", "fri"}) {
		r.note(Warning, "/chaosmonkey/cron_expression", "cron_expression", "the days "+strings.Join(days, ", ")+" are the working days here: the minimum between kills counts them, where Chaos Monkey always counts Monday to Friday")
	}
}

// application makes the block of one application, and accounts for its settings.
func (r *ChaosResult) application(a chaosmonkey.Application, p *chaosmonkey.Program) error {
	block := a.Block(p)
	if p != nil && p.Inert() != "" && block.Enabled {
		block.Enabled = false
		r.note(Warning, a.Path+"/enabled", "enabled of "+a.Name, p.Inert()+", so the block says enabled: false")
	}
	if a.Whitelist {
		r.note(Warning, a.Path+"/whitelist", "whitelist of "+a.Name, "it is there, with which Chaos Monkey ends nothing of the application, so the block says enabled: false")
	}
	if dropped := len(a.Exceptions) - len(block.Exceptions); dropped > 0 {
		r.note(Warning, a.Path+"/exceptions", "exceptions of "+a.Name, fmt.Sprintf("%d of them have a * beside other characters, which matches nothing in Chaos Monkey, and are left out", dropped))
	}
	if len(block.Exceptions) > 0 {
		r.note(Warning, a.Path+"/exceptions", "exceptions of "+a.Name, "the accounts and regions are those of Spinnaker: look whether they are those of this control plane")
	}
	for _, to := range []string{"enabled", "grouping", "meanTimeBetweenKillsInWorkDays", "minTimeBetweenKillsInWorkDays", "regionsAreIndependent", "exceptions"} {
		r.Carried = append(r.Carried, Carried{Pipeline: a.Name, To: to, Kind: "chaos", What: a.Name + ": " + to, Path: a.Path + "/" + to})
	}
	text, err := pipeline.FormatChaos(a.Name, block)
	if err != nil {
		return err
	}
	if _, ds := pipeline.ParseChaos("chaos", text); ds.HasErrors() {
		return ds.Err()
	}
	r.Blocks = append(r.Blocks, ChaosBlock{Application: a.Name, Chaos: block, YAML: text})
	return nil
}
