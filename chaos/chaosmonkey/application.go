package chaosmonkey

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"showrunner/chaos/monkey"
	"showrunner/pipeline"
)

// Application are the settings of one application in Spinnaker.
type Application struct {
	Name                  string
	Enabled               bool
	Grouping              string
	Mean, Min             int
	RegionsAreIndependent bool
	Exceptions            []monkey.Exception
	Whitelist             bool // it is there, which ends nothing
	// Clusters are those that the document names; none when it names none.
	Clusters []monkey.Cluster
	// Path is the JSON pointer of the settings in the document, At its place there.
	Path string
	At   pipeline.Position
}

// DefaultApplication is an application with the settings that Chaos Monkey's code
// gives one that says nothing.
func DefaultApplication(name string) Application {
	return Application{Name: name, Enabled: true, Grouping: "cluster", Mean: 5, Min: 0, RegionsAreIndependent: true}
}

// settingNames are the settings of an application.
var settingNames = []string{"enabled", "grouping", "meanTimeBetweenKillsInWorkDays", "minTimeBetweenKillsInWorkDays", "regionsAreIndependent", "exceptions", "whitelist"}

// applications reads a document of Spinnaker: an application, a list of them, or
// the settings alone.
func (r *reader) applications(root *node, fallback string) []Application {
	items, paths := []*node{root}, []string{""}
	if inner := root.get("applications"); inner != nil && inner.kind == list {
		root, items, paths = inner, inner.items, nil
		for i := range items {
			paths = append(paths, fmt.Sprintf("/applications/%d", i))
		}
	} else if root.kind == list {
		items, paths = root.items, nil
		for i := range items {
			paths = append(paths, fmt.Sprintf("/%d", i))
		}
	}
	var out []Application
	for i, n := range items {
		a, ok := r.application(n, paths[i], fallback)
		if !ok {
			continue
		}
		if slices.ContainsFunc(out, func(b Application) bool { return b.Name == a.Name }) {
			r.wrong(n, "give each application once", "application %s is there twice", quoted(a.Name))
			continue
		}
		out = append(out, a)
	}
	return out
}

func (r *reader) application(n *node, path, fallback string) (Application, bool) {
	a := Application{Name: fallback, Path: path, At: position(r.src, n.at)}
	if n.kind != object {
		r.wrong(n, "", "an application must be an object, not %s", n.describe())
		return a, false
	}
	r.words(n.get("name"), "name", &a.Name)
	settings := n
	switch {
	case n.get("attributes").get("chaosMonkey") != nil:
		settings, a.Path = n.get("attributes").get("chaosMonkey"), path+"/attributes/chaosMonkey"
		if a.Name == fallback {
			r.words(n.get("attributes").get("name"), "attributes.name", &a.Name)
		}
	case n.get("chaosMonkey") != nil:
		settings, a.Path = n.get("chaosMonkey"), path+"/chaosMonkey"
	case n.get("chaosmonkey") != nil && n.get("enabled") == nil:
		r.wrong(n.get("chaosmonkey"), "write chaosMonkey", "the settings of an application are called chaosMonkey, not chaosmonkey")
		return a, false
	case !slices.ContainsFunc(n.members, func(m member) bool { return slices.Contains(settingNames, m.name) }):
		r.wrong(n, "its settings are in attributes.chaosMonkey, as Spinnaker's GET /applications/NAME answers", "application %s has no settings of Chaos Monkey", quoted(a.Name))
		return a, false
	}
	if settings.kind != object {
		r.wrong(settings, "", "chaosMonkey of application %s must be an object, not %s", quoted(a.Name), settings.describe())
		return a, false
	}
	known := settingNames
	if settings == n {
		known = append(slices.Clone(known), "name", "clusters", "serverGroups")
	}
	r.unknown(settings, "chaosMonkey of application "+quoted(a.Name), known)
	r.settings(settings, &a)
	r.clusters(n, &a)
	return a, true
}

func (r *reader) settings(n *node, a *Application) {
	where := func(name string) string { return name + " of application " + quoted(a.Name) }
	if !r.boolean(n.get("enabled"), where("enabled"), &a.Enabled) {
		r.wrong(n, "write \"enabled\": true or false", "%s is missing", where("enabled"))
	}
	needed := func(name string, found bool, example string) {
		if !found && a.Enabled {
			r.wrong(n, "write \""+name+"\": "+example, "%s is missing; Chaos Monkey refuses an enabled application without it", where(name))
		}
	}
	needed("meanTimeBetweenKillsInWorkDays", r.whole(n.get("meanTimeBetweenKillsInWorkDays"), where("meanTimeBetweenKillsInWorkDays"), 1, 1_000_000, &a.Mean), "2")
	needed("minTimeBetweenKillsInWorkDays", r.whole(n.get("minTimeBetweenKillsInWorkDays"), where("minTimeBetweenKillsInWorkDays"), 0, 1_000_000, &a.Min), "1")
	a.Grouping = "cluster"
	grouping := n.get("grouping")
	needed("grouping", r.words(grouping, where("grouping"), &a.Grouping), `"cluster"`)
	if words := []string{"app", "stack", "cluster"}; grouping != nil && grouping.kind == text && !slices.Contains(words, a.Grouping) && (a.Enabled || a.Grouping != "") {
		r.report(pipeline.SeverityError, grouping.at, grouping.length, pipeline.CodeValue,
			fmt.Sprintf("%s must be one of app, stack, cluster, not %s", where("grouping"), quoted(a.Grouping)), pipeline.Nearest(a.Grouping, words), "")
	}
	r.boolean(n.get("regionsAreIndependent"), where("regionsAreIndependent"), &a.RegionsAreIndependent)
	if a.Enabled && a.Min > a.Mean && a.Mean > 0 {
		r.warn(n.get("minTimeBetweenKillsInWorkDays"), "", "%s is more than the mean: kills of a group will be %d working days apart on average (%d + %d - 1)",
			where("minTimeBetweenKillsInWorkDays"), a.Mean+a.Min-1, a.Mean, a.Min)
	}
	r.exceptions(n.get("exceptions"), a)
	// Chaos Monkey tests whether there is one; null is none.
	if w := n.get("whitelist"); w != nil && w.kind != null {
		a.Whitelist = true
		r.warn(w, "remove it, or write enabled: false", "%s is there, even if empty: Chaos Monkey ends nothing of this application", where("whitelist"))
	}
}

func (r *reader) exceptions(n *node, a *Application) {
	if n == nil || n.kind == null {
		return
	}
	if n.kind != list {
		r.wrong(n, `write a list such as [{"account": "prod", "region": "us-east-1", "stack": "*", "detail": "*"}]`, "exceptions of application %s must be a list, not %s", quoted(a.Name), n.describe())
		return
	}
	for i, item := range n.items {
		where := fmt.Sprintf("exception %d of application %s", i+1, quoted(a.Name))
		if item.kind != object {
			r.wrong(item, `write an object such as {"account": "prod", "region": "*", "stack": "*", "detail": "*"}`, "%s must be an object, not %s", where, item.describe())
			continue
		}
		r.unknown(item, where, []string{"account", "region", "stack", "detail"})
		var e monkey.Exception
		for _, f := range []struct {
			name   string
			dst    *string
			needed bool
		}{{"account", &e.Account, true}, {"region", &e.Region, true}, {"stack", &e.Stack, false}, {"detail", &e.Detail, false}} {
			v := item.get(f.name)
			if !r.words(v, f.name+" of "+where, f.dst) && f.needed {
				r.wrong(item, `write "`+f.name+`": "*" for any`, "%s has no %s", where, f.name)
			}
			if *f.dst != "*" && strings.ContainsAny(*f.dst, "*?") {
				r.warn(v, "write the whole name, or * for any", "%s %s of %s matches nothing: only * alone stands for any text", f.name, quoted(*f.dst), where)
			}
		}
		a.Exceptions = append(a.Exceptions, e)
	}
}

// clusters reads what the document says about an application's clusters: a mapping
// of accounts to names or to objects with a name, or a list of server groups.
func (r *reader) clusters(n *node, a *Application) {
	if m := n.get("clusters"); m != nil && m.kind == object {
		for _, account := range m.members {
			for _, item := range account.value.items {
				name := item.text
				if item.kind == object {
					if v := item.get("name"); v != nil {
						name = v.text
					}
				}
				if name != "" {
					c := monkey.NewCluster(a.Name, account.name, "", name)
					c.Instances = 1
					a.Clusters = append(a.Clusters, c)
				}
			}
		}
	}
	if groups := n.get("serverGroups"); groups != nil && groups.kind == list {
		a.Clusters = nil
		for _, g := range groups.items {
			r.serverGroup(g, a)
		}
	}
	sort.SliceStable(a.Clusters, func(i, j int) bool { return a.Clusters[i].Name < a.Clusters[j].Name })
}

func (r *reader) serverGroup(g *node, a *Application) {
	field := func(name string) string {
		if v := g.get(name); v != nil && v.kind == text {
			return v.text
		}
		return ""
	}
	if v := g.get("isDisabled"); v != nil && v.text == "true" {
		return // disabled server groups are ignored
	}
	name := field("cluster")
	if group := field("name"); name == "" && len(group) > 5 {
		name = group
		if i := strings.LastIndex(group, "-v"); i > 0 && strings.Trim(group[i+2:], "0123456789") == "" {
			name = group[:i]
		}
	}
	if name == "" {
		return
	}
	c := monkey.NewCluster(a.Name, field("account"), field("region"), name)
	c.Instances = 1
	if v := g.get("instances"); v != nil && v.kind == list {
		c.Instances = len(v.items)
	}
	if !slices.ContainsFunc(a.Clusters, func(b monkey.Cluster) bool { b.Instances = c.Instances; return b == c }) {
		a.Clusters = append(a.Clusters, c)
	}
}
