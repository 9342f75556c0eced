package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"showrunner/chaos/chaosmonkey"
	"showrunner/chaos/monkey"
	"showrunner/pipeline"
)

type simulateFlags struct {
	configs, clusters []string
	days              int
	seed              uint64
	from, to          string
	all               bool
}

func newChaosSimulateCommand(a *app) *cobra.Command {
	var f simulateFlags
	cmd := &cobra.Command{
		Use: "simulate --config FILE [--days N] [--seed S]", Short: "What a configuration would do, without a running system",
		Long: `Simulate draws the schedule of each day and says which kills would happen: a row
a kill, with its day, time and group. The same seed and the same days give the same
kills. Nothing needs to run, and nothing is ended.

FILE is a pipeline file with a chaos block, or settings of Chaos Monkey: an
application as Spinnaker answers it (JSON), a list of them, or chaosmonkey.toml.
--config may be repeated: chaosmonkey.toml says when kills happen, the files of
applications say to what.

Groups come from the clusters: those of a pipeline file are what its deploy stages
make, those of an application in JSON what its clusters or serverGroups name. Where
neither is known, an application is one cluster of its name in one region. --cluster
ACCOUNT/REGION/CLUSTER[=INSTANCES] says otherwise, for every application whose name
the cluster begins with.

--days counts days of the calendar, from today or from --from. Kills that the
minimum between kills or an exception forbids are left out; --all shows them.`,
		Example: "  showrunner chaos monkey simulate --config showrunner.yaml --days 90 --seed 7\n" +
			"  showrunner chaos monkey simulate --config chaosmonkey.toml --config storefront.json --from 2026-01-01 --to 2026-12-31 -o json",
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.simulateMonkey(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.configs, "config", nil, "a pipeline file or settings of Chaos Monkey, - for standard input; may be repeated (required)")
	flags.StringArrayVar(&f.clusters, "cluster", nil, "ACCOUNT/REGION/CLUSTER[=INSTANCES]: a cluster that there would be; may be repeated")
	flags.IntVar(&f.days, "days", 30, "days of the calendar")
	flags.Uint64Var(&f.seed, "seed", 1, "where chance comes from: the same seed gives the same kills")
	flags.StringVar(&f.from, "from", "", "first day, such as 2026-12-01 (default today)")
	flags.StringVar(&f.to, "to", "", "last day, in place of --days")
	flags.BoolVar(&f.all, "all", false, "show what was scheduled and did not happen too, and why")
	exclusive(cmd, "days", "to")
	return cmd
}

// maxSimulatedDays bounds a simulation: more than 2,700 years.
const maxSimulatedDays = 1_000_000

// simulatedKill is one row of the answer.
type simulatedKill struct {
	Day         monkey.Date `json:"day"`
	Time        string      `json:"time"` // in the zone of the settings
	Group       string      `json:"group"`
	Zone        string      `json:"zone"`
	At          time.Time   `json:"at"`
	Application string      `json:"application"`
	Account     string      `json:"account"`
	Region      string      `json:"region,omitempty"`
	Stack       string      `json:"stack,omitempty"`
	Cluster     string      `json:"cluster,omitempty"` // of the instance
	DryRun      bool        `json:"dryRun,omitempty"`
	Skipped     string      `json:"skipped,omitempty"`
}

func (a *app) simulateMonkey(ctx context.Context, f simulateFlags) error {
	if len(f.configs) == 0 {
		return usage("--config is missing").WithHelp("name a pipeline file with a chaos block, or settings of Chaos Monkey")
	}
	in := &simulation{app: a}
	for _, name := range f.configs {
		src, err := a.readFile(ctx, name)
		if err != nil {
			return err
		}
		in.read(name, src)
	}
	if in.ds.HasErrors() {
		return &findingsError{in.ds}
	}
	if text := in.ds.Text(); text != "" {
		a.say("%s", strings.TrimSuffix(text, "\n"))
	}
	plans, err := in.plans(f.clusters)
	if err != nil {
		return err
	}
	first, days, err := f.span()
	if err != nil {
		return err
	}
	rows, kills := []simulatedKill{}, 0
	for k := range monkey.Simulate(plans, monkey.Seed(f.seed), first, days) {
		if k.Skipped == "" {
			kills++
		}
		if k.Skipped == "" || f.all {
			rows = append(rows, rowOf(k, in.zones[k.Group.Application]))
		}
	}
	for _, note := range in.notes {
		a.say("note: %s", note)
	}
	a.say("%d kills in %d days from %s, seed %d", kills, days, first, f.seed)
	return a.print(rows, func() []string {
		var names []string
		for _, r := range rows {
			names = append(names, r.Day.String()+" "+r.Time+" "+r.Group)
		}
		return names
	}, func(w io.Writer) { a.simulatedTable(w, rows, f.all) })
}

func (a *app) simulatedTable(w io.Writer, rows []simulatedKill, all bool) {
	head := []any{"DAY", "TIME", "ZONE", "GROUP", "CLUSTER", "REGION"}
	if all {
		head = append(head, "SKIPPED")
	}
	row(w, head...)
	for _, r := range rows {
		cells := []any{r.Day, r.Time, r.Zone, r.Group, r.Cluster, r.Region}
		if r.DryRun {
			cells[4] = r.Cluster + " (dry run)"
		}
		if all {
			cells = append(cells, r.Skipped)
		}
		row(w, cells...)
	}
}

func rowOf(k monkey.Simulated, zone *time.Location) simulatedKill {
	r := simulatedKill{Day: k.Day, Time: k.At.In(zone).Format("15:04"), Group: k.Group.String(), Zone: zone.String(), At: k.At.UTC(), Application: k.Group.Application, Account: k.Group.Account,
		Region: k.Group.Region, Stack: k.Group.Stack, Cluster: k.Group.Cluster, DryRun: k.DryRun, Skipped: k.Skipped}
	if k.Skipped == "" {
		r.Region, r.Stack, r.Cluster = k.Victim.Region, k.Victim.Stack, k.Victim.Name
	}
	return r
}

// span is the first day and the number of days.
func (f simulateFlags) span() (monkey.Date, int, error) {
	first := monkey.DateOf(time.Now(), time.Local)
	var err error
	if f.from != "" {
		if first, err = monkey.ParseDate(f.from); err != nil {
			return first, 0, err
		}
	}
	days := f.days
	if f.to != "" {
		last, err := monkey.ParseDate(f.to)
		if err != nil {
			return first, 0, err
		}
		if last.Before(first) {
			return first, 0, usage("--to %s is before %s", last, first).WithHelp("the last day is not before the first one")
		}
		days = last.Sub(first) + 1
	}
	switch {
	case days < 1:
		return first, 0, usage("--days %d: there is no day to simulate", days).WithHelp("give at least 1")
	case days > maxSimulatedDays:
		return first, 0, usage("--days %d: at most %d days are simulated", days, maxSimulatedDays)
	}
	return first, days, nil
}

// simulation collects what the files of a simulation say.
type simulation struct {
	app     *app
	ds      pipeline.Diagnostics
	program *chaosmonkey.Program
	apps    []chaosmonkey.Application
	files   []*pipeline.Document
	notes   []string
	zones   map[string]*time.Location // of each application
}

func (in *simulation) read(name string, src []byte) {
	if !chaosmonkey.Is(src) {
		doc, ds := pipeline.ParseChaos(name, src)
		in.ds = append(in.ds, ds...)
		if doc == nil {
			return
		}
		if doc.Chaos == nil {
			in.ds = append(in.ds, pipeline.Diagnostic{Severity: pipeline.SeverityError, Code: pipeline.CodeRequired, File: name, Message: "the file has no chaos block, so Chaos Monkey ends nothing of this application",
				Help: "write chaos: { enabled: true, grouping: cluster, meanTimeBetweenKillsInWorkDays: 2 }"})
			return
		}
		if doc.Application == "" {
			doc.Application = "app"
		}
		in.files = append(in.files, doc)
		return
	}
	doc, ds := chaosmonkey.Read(name, src)
	in.ds = append(in.ds, ds...)
	if doc == nil {
		return
	}
	if doc.Program != nil && in.program != nil {
		in.ds = append(in.ds, pipeline.Diagnostic{Severity: pipeline.SeverityError, Code: pipeline.CodeConflict, File: name, Message: "a second chaosmonkey.toml", Help: "give one"})
	}
	if doc.Program != nil {
		in.program = doc.Program
	}
	in.apps = append(in.apps, doc.Applications...)
}

// plans are the applications with their clusters.
func (in *simulation) plans(given []string) ([]monkey.Plan, error) {
	in.zones = map[string]*time.Location{}
	extra, err := parseClusters(given)
	if err != nil {
		return nil, err
	}
	var plans []monkey.Plan
	used := make([]bool, len(extra))
	add := func(name string, s monkey.Settings, clusters []monkey.Cluster) error {
		if in.zones[name] != nil {
			return usage("application %s is in two files", name).WithHelp("give each application once")
		}
		in.zones[name] = s.Zone
		if named := forApplication(name, extra, used); len(named) > 0 {
			clusters = named
		}
		if len(clusters) == 0 {
			accounts := []string{pipeline.DefaultAccount}
			if in.program != nil && len(in.program.Accounts) > 0 {
				accounts = in.program.Accounts
			}
			for _, account := range accounts {
				c := monkey.NewCluster(name, account, "region", name)
				c.Instances = 1
				clusters = append(clusters, c)
			}
			in.notes = append(in.notes, fmt.Sprintf("no cluster of %s is known: it is taken for one cluster of its name in one region; --cluster ACCOUNT/REGION/CLUSTER names others", name))
		}
		switch {
		case !s.Enabled:
			in.notes = append(in.notes, fmt.Sprintf("chaos of %s is not enabled: nothing is ended", name))
		case s.DryRun:
			in.notes = append(in.notes, fmt.Sprintf("chaos of %s is a dry run: kills are decided and recorded, and nothing is ended", name))
		}
		plans = append(plans, monkey.Plan{Settings: s, Clusters: clusters})
		return nil
	}
	for _, doc := range in.files {
		s, err := monkey.FromFile(doc.Chaos)
		if err != nil {
			return nil, err
		}
		clusters, notes := monkey.FileClusters(doc, defaultRegions)
		in.notes = append(in.notes, notes...)
		if err := add(doc.Application, s, clusters); err != nil {
			return nil, err
		}
	}
	if err := in.chaosMonkeyPlans(add); err != nil {
		return nil, err
	}
	for i, c := range extra {
		if !used[i] {
			return nil, usage("--cluster %s belongs to no application of the files", given[i]).WithHelp("the name of a cluster begins with its application's: %s", c.Name)
		}
	}
	return plans, nil
}

// chaosMonkeyPlans adds the applications of Chaos Monkey's settings, under those
// of the program.
func (in *simulation) chaosMonkeyPlans(add func(string, monkey.Settings, []monkey.Cluster) error) error {
	if in.program == nil && len(in.apps) == 0 {
		return nil
	}
	program := in.program
	if program == nil {
		free := chaosmonkey.DefaultProgram()
		free.Enabled, free.ScheduleEnabled, free.Leashed = true, true, false
		program = &free
		in.notes = append(in.notes, "no chaosmonkey.toml was given: hours are 09:00 to 15:00 of America/Los_Angeles, and it is taken to be enabled in every account")
	} else if why := program.Inert(); why != "" {
		in.notes = append(in.notes, why)
	}
	apps := in.apps
	if len(apps) == 0 && len(in.files) == 0 {
		apps = []chaosmonkey.Application{chaosmonkey.DefaultApplication("app")}
		in.notes = append(in.notes, "the settings name no application: one is simulated with the settings that Chaos Monkey's code gives it (mean 5, min 0, a group for each cluster and region); applications are in Spinnaker, and their settings in a further --config")
	}
	if len(apps) > program.MaxApps {
		in.notes = append(in.notes, fmt.Sprintf("chaosmonkey.max_apps is %d: the %d applications after these are left out", program.MaxApps, len(apps)-program.MaxApps))
		apps = apps[:program.MaxApps]
	}
	for _, app := range apps {
		s, err := app.Settings(program)
		if err != nil {
			return err
		}
		if in.program != nil && in.program.Inert() != "" {
			s.Enabled = false
		}
		clusters := app.Clusters
		if in.program != nil {
			clusters = slices.DeleteFunc(slices.Clone(clusters), func(c monkey.Cluster) bool { return !slices.Contains(in.program.Accounts, c.Account) })
			if len(app.Clusters) > 0 && len(clusters) == 0 {
				in.notes = append(in.notes, fmt.Sprintf("no cluster of %s is in an account of chaosmonkey.accounts (%s): nothing is ended", app.Name, strings.Join(in.program.Accounts, ", ")))
				s.Enabled, clusters = false, app.Clusters
			}
		}
		if err := add(app.Name, s, clusters); err != nil {
			return err
		}
	}
	return nil
}

// parseClusters reads --cluster ACCOUNT/REGION/CLUSTER[=INSTANCES].
func parseClusters(given []string) ([]monkey.Cluster, error) {
	var out []monkey.Cluster
	for _, g := range given {
		spec, count, counted := strings.Cut(g, "=")
		parts := strings.Split(spec, "/")
		instances := 1
		if counted {
			n, err := strconv.Atoi(count)
			if err != nil || n < 1 || n > 1_000_000 {
				return nil, usage("--cluster %s: %q is not a number of instances", g, count).WithHelp("write ACCOUNT/REGION/CLUSTER=INSTANCES, such as local/us-west-2/storefront-prod=3")
			}
			instances = n
		}
		if len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
			return nil, usage("--cluster %s is not ACCOUNT/REGION/CLUSTER[=INSTANCES]", g).WithHelp("such as local/us-west-2/storefront-prod=3")
		}
		c := monkey.NewCluster("", parts[0], parts[1], parts[2])
		c.Instances = instances
		out = append(out, c)
	}
	return out, nil
}

// forApplication are the given clusters of an application: those whose names begin
// with its name.
func forApplication(name string, given []monkey.Cluster, used []bool) []monkey.Cluster {
	var out []monkey.Cluster
	for i, c := range given {
		if c.Name == name || strings.HasPrefix(c.Name, name+"-") {
			used[i], c.Application = true, name
			out = append(out, c)
		}
	}
	return out
}
