package importer

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"showrunner/chaos/document"
)

// fisTargetTypes are the types of resources that stand for instances here, with the role
// under which an action names its target.
var fisTargetTypes = map[string]string{"aws:ec2:instance": "Instances", "aws:ecs:task": "Tasks"}

// aShortWhile is how long a process is away that restarts at once.
const aShortWhile = "1s"

// translate is what an action becomes; nothing when it was refused.
func (i *fisImport) translate(name string, a fisAction) []map[string]any {
	at := i.at("actions", name)
	p := &fisParameters{i: i, at: document.Member(at, "parameters"), left: maps.Clone(a.Parameters)}
	var steps []map[string]any
	before := len(i.r.Refused)
	switch a.ActionID {
	case "aws:fis:wait":
		steps = []map[string]any{{"wait": p.duration("duration", "")}}
	case "aws:cloudwatch:assert-alarm-state":
		steps = i.assertAlarms(p)
	case "aws:ec2:reboot-instances":
		steps = i.faults(name, a, map[string]any{"kind": "restart", "for": aShortWhile}, true)
	case "aws:ecs:task-kill-process":
		p.drop("processName", "signal")
		steps = i.faults(name, a, map[string]any{"kind": "restart", "for": aShortWhile}, true)
	case "aws:ec2:stop-instances":
		if _, given := a.Parameters["startInstancesAfterDuration"]; !given {
			steps = i.kills(name, a)
			break
		}
		p.drop("completeIfInstancesTerminated")
		steps = i.faults(name, a, map[string]any{"kind": "restart", "for": p.duration("startInstancesAfterDuration", "")}, true)
	case "aws:ec2:terminate-instances", "aws:ecs:stop-task":
		steps = i.kills(name, a)
	case "aws:ecs:task-cpu-stress":
		steps = i.faults(name, a, map[string]any{"kind": "cpu", "for": p.duration("duration", ""), "cores": p.cores("percent", "workers")}, true)
		p.drop("installDependencies")
	case "aws:ecs:task-network-latency":
		steps = i.latency(name, a, p, "duration", "delayMilliseconds", "jitterMilliseconds", "sources")
		p.drop("installDependencies", "useEcsFaultInjectionEndpoints")
	case "aws:ecs:task-network-blackhole-port":
		steps = i.blackhole(name, a, p, "duration", "trafficType", "protocol", "port")
		p.drop("installDependencies", "useEcsFaultInjectionEndpoints")
	case "aws:ssm:send-command":
		steps = i.command(name, a, p)
	default:
		i.refuse(document.Member(at, "actionId"), "docs/experiments.md lists the actions that have an equivalent", "%s has no equivalent here", a.ActionID)
		return nil
	}
	if len(i.r.Refused) == before {
		p.rest()
	}
	if len(i.r.Refused) > before {
		return nil
	}
	return steps
}

// command is what a command of Systems Manager becomes.
func (i *fisImport) command(name string, a fisAction, p *fisParameters) []map[string]any {
	arn := p.take("documentArn")
	lasts := p.duration("duration", "")
	p.drop("documentVersion")
	inner := map[string]string{}
	if text := p.take("documentParameters"); text != "" {
		var values map[string]any
		if err := json.Unmarshal([]byte(text), &values); err != nil {
			i.refuse(document.Member(p.at, "documentParameters"), "", "it is no JSON: %v", err)
			return nil
		}
		for k, v := range values {
			if list, ok := v.([]any); ok && len(list) == 1 {
				v = list[0]
			}
			inner[k] = fmt.Sprint(v)
		}
	}
	d := &fisParameters{i: i, at: document.Member(p.at, "documentParameters"), left: inner}
	d.drop("InstallDependencies")
	known := inner["DurationSeconds"]
	d.drop("DurationSeconds")
	if seconds, err := strconv.Atoi(known); err == nil { // the command may end before the action does
		lasts = (time.Duration(seconds) * time.Second).String()
	} else if known != "" {
		i.refuse(document.Member(d.at, "DurationSeconds"), "", "%q is no number of seconds", known)
	}
	_, doc, _ := strings.Cut(arn, ":document/")
	var steps []map[string]any
	switch doc {
	case "AWSFIS-Run-CPU-Stress":
		steps = i.faults(name, a, map[string]any{"kind": "cpu", "for": lasts, "cores": d.cores("LoadPercent", "CPU")}, true)
	case "AWSFIS-Run-Kill-Process":
		d.drop("ProcessName", "Signal")
		steps = i.faults(name, a, map[string]any{"kind": "restart", "for": aShortWhile}, true)
	case "AWSFIS-Run-Network-Latency", "AWSFIS-Run-Network-Latency-Sources":
		d.left["duration"] = "PT" + strings.ToUpper(lasts)
		d.drop("Interface", "TrafficType")
		steps = i.latency(name, a, d, "duration", "DelayMilliseconds", "JitterMilliseconds", "Sources")
	case "AWSFIS-Run-Network-Blackhole-Port":
		d.left["duration"] = "PT" + strings.ToUpper(lasts)
		steps = i.blackhole(name, a, d, "duration", "TrafficType", "Protocol", "Port")
	case "AWSFIS-Run-Memory-Stress", "AWSFIS-Run-Disk-Fill":
		i.refuse(document.Member(p.at, "documentArn"), "write a fault of the kind memory or disk with mib", "%s takes a share of the machine, and faults here take an amount", doc)
	default:
		i.refuse(document.Member(p.at, "documentArn"), "docs/experiments.md lists the documents that have an equivalent", "the document %s has no equivalent here", firstOf(doc, arn))
	}
	if steps != nil {
		d.rest()
	}
	return steps
}

// latency and blackhole are faults of requests here, not of packets.
func (i *fisImport) latency(name string, a fisAction, p *fisParameters, lasts, delay, jitter, sources string) []map[string]any {
	if s := p.take(sources); s != "" && s != "0.0.0.0/0" && s != "DEFAULT" {
		i.refuse(document.Member(p.at, sources), "write a fault of the kind latency with from", "addresses %q do not say which service calls", s)
	}
	ms := func(name, otherwise string) string {
		text := p.take(name)
		if text == "" {
			text = otherwise
		}
		if n, err := strconv.Atoi(text); err != nil || n < 0 {
			i.refuse(document.Member(p.at, name), "", "%q is no number of milliseconds", text)
		}
		return text + "ms"
	}
	fault := map[string]any{"kind": "latency", "for": p.duration(lasts, ""), "latency": ms(delay, "200"), "jitter": ms(jitter, "10")}
	i.note("latency delays answers to requests, not packets")
	return i.faults(name, a, fault, false)
}

func (i *fisImport) blackhole(name string, a fisAction, p *fisParameters, lasts, direction, protocol, port string) []map[string]any {
	if d := strings.ToLower(p.take(direction)); d != "" && d != "ingress" {
		i.refuse(document.Member(p.at, direction), "ingress: write a fault with from for what an instance sends", "%s traffic cannot be dropped at the instances", d)
	}
	if pr := strings.ToLower(p.take(protocol)); pr != "tcp" {
		i.refuse(document.Member(p.at, protocol), "tcp", "requests are TCP, not %q", pr)
	}
	i.note("the port %s of a blackhole: an instance has the one on which it serves", p.take(port))
	return i.faults(name, a, map[string]any{"kind": "blackhole", "for": p.duration(lasts, "")}, false)
}

// assertAlarms are checks, one for each alarm.
func (i *fisImport) assertAlarms(p *fisParameters) (steps []map[string]any) {
	if s := p.take("alarmStates"); s != "OK" && s != "OK,INSUFFICIENT_DATA" && s != "INSUFFICIENT_DATA,OK" {
		i.refuse(document.Member(p.at, "alarmStates"), "OK", "an alarm can be asserted not to be open, and not %q", s)
	}
	for _, arn := range strings.Split(p.take("alarmArns"), ",") {
		_, alarm, ok := strings.Cut(strings.TrimSpace(arn), ":alarm:")
		if !ok {
			i.refuse(document.Member(p.at, "alarmArns"), "", "%q is no ARN of an alarm", arn)
			continue
		}
		steps = append(steps, map[string]any{"check": map[string]any{"alarm": alarm}})
	}
	return steps
}

// where is a place that an action hits.
type where struct {
	region, cluster string
	selection       map[string]any
	count           int // of COUNT(n); 0: all, or a share
}

var selection = regexp.MustCompile(`^(ALL|COUNT\((\d+)\)|PERCENT\((\d+)\))$`)

// target finds what an action hits; ok is false when it was refused.
func (i *fisImport) target(name string, a fisAction) (list []where, ok bool) {
	before := len(i.r.Refused)
	for role, target := range a.Targets {
		at := i.at("targets", target)
		t, known := i.template.Targets[target]
		switch {
		case !known:
			i.refuse(i.at("actions", name, "targets"), "", "there is no target %q", target)
		case fisTargetTypes[t.ResourceType] != role:
			i.refuse(document.Member(at, "resourceType"), "aws:ec2:instance or aws:ecs:task", "%s has no equivalent here", t.ResourceType)
		default:
			list = append(list, i.places(at, t)...)
		}
	}
	if len(a.Targets) == 0 {
		i.refuse(i.at("actions", name), "", "it has no target")
	}
	return list, len(i.r.Refused) == before
}

// places are the regions and clusters of a target.
func (i *fisImport) places(at string, t fisTarget) (list []where) {
	w := where{region: i.Region, cluster: i.Cluster, selection: map[string]any{}}
	m := selection.FindStringSubmatch(t.SelectionMode)
	switch {
	case m == nil:
		i.refuse(document.Member(at, "selectionMode"), "ALL, COUNT(n) or PERCENT(n)", "%q is no selection", t.SelectionMode)
	case m[2] != "":
		w.count, _ = strconv.Atoi(m[2]) // digits
		w.selection["count"] = w.count
	case m[3] != "":
		n, _ := strconv.Atoi(m[3]) // digits
		w.selection["share"] = n
	default:
		w.selection["all"] = true
	}
	if service := t.Parameters["service"]; service != "" && i.Cluster == "" {
		w.cluster = service
	}
	if w.cluster == "" {
		i.refuse(at, "name the cluster that it stands for with --cluster", "tags and ARNs of a target do not say which cluster is meant")
	}
	for _, f := range t.Filters {
		switch {
		case f.Path == "State.Name" && slices.Equal(f.Values, []string{"running"}):
		case f.Path == "Placement.AvailabilityZone" && len(f.Values) == 1:
			w.selection["zone"] = f.Values[0]
			w.region = firstOf(w.region, strings.TrimRight(f.Values[0], "abcdef"))
		default:
			i.refuse(document.Member(at, "filters"), "State.Name running, and one zone as Placement.AvailabilityZone", "the filter %s is not known here", f.Path)
		}
	}
	if len(t.ResourceTags) > 0 {
		i.note("tags of targets: the cluster stands for them")
	}
	regions := map[string][]string{}
	for _, arn := range t.ResourceArns {
		if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 && parts[3] != "" {
			regions[parts[3]] = append(regions[parts[3]], parts[5][strings.LastIndexByte(parts[5], '/')+1:])
			continue
		}
		i.refuse(document.Member(at, "resourceArns"), "", "%q is no ARN", arn)
	}
	if len(regions) == 0 {
		if w.region == "" {
			i.refuse(at, "name it with --region", "the region of a target without ARNs is not known")
		}
		return []where{w}
	}
	for _, region := range slices.Sorted(maps.Keys(regions)) {
		one := w
		one.region, one.selection = region, maps.Clone(w.selection)
		one.selection["instances"] = regions[region]
		list = append(list, one)
	}
	return list
}

// faults are one fault for each region of the target. Where it is not of instances, all of
// them is what it hits without a selection.
func (i *fisImport) faults(name string, a fisAction, fault map[string]any, ofInstances bool) (steps []map[string]any) {
	list, ok := i.target(name, a)
	if !ok {
		return nil
	}
	for _, w := range list {
		f := maps.Clone(fault)
		f["region"], f["cluster"] = w.region, w.cluster
		maps.Copy(f, w.selection)
		if !ofInstances {
			delete(f, "all")
		}
		steps = append(steps, map[string]any{"fault": f})
	}
	return steps
}

// kills end instances, as many as COUNT says.
func (i *fisImport) kills(name string, a fisAction) (steps []map[string]any) {
	list, ok := i.target(name, a)
	if !ok {
		return nil
	}
	for _, w := range list {
		_, named := w.selection["instances"]
		_, zoned := w.selection["zone"]
		switch {
		case named || zoned:
			i.refuse(i.at("actions", name), "COUNT(n) of a target with tags; or a fault of the kind restart", "an instance that ends is chosen at random, and cannot be named or be of one zone")
			return nil
		case w.count == 0:
			i.refuse(i.at("actions", name), "COUNT(n); or a fault of the kind zone-outage or region-outage", "all instances, or a share of them, cannot be ended: the last one that serves never is")
			return nil
		case i.Application == "":
			i.refuse(i.at("actions", name), "name it with --application", "the application whose instance ends is not known")
			return nil
		}
		steps = append(steps, map[string]any{"kill": map[string]any{"region": w.region, "cluster": w.cluster, "count": w.count}})
	}
	return steps
}

// fisParameters are the parameters of an action that have not been looked at.
type fisParameters struct {
	i    *fisImport
	at   string
	left map[string]string
}

func (p *fisParameters) take(name string) string {
	v := p.left[name]
	delete(p.left, name)
	return v
}

// drop leaves out what has no meaning here.
func (p *fisParameters) drop(names ...string) {
	for _, n := range names {
		if _, given := p.left[n]; given {
			p.i.note("%s: it has no meaning here", n)
			delete(p.left, n)
		}
	}
}

// rest refuses parameters that nobody looked at.
func (p *fisParameters) rest() {
	for _, n := range slices.Sorted(maps.Keys(p.left)) {
		p.i.refuse(document.Member(p.at, n), "", "the parameter %s has no equivalent here", n)
	}
}

var isoDuration = regexp.MustCompile(`^PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?$`)

// duration is an ISO 8601 duration as Go writes it.
func (p *fisParameters) duration(name, otherwise string) string {
	text := p.take(name)
	if text == "" {
		text = otherwise
	}
	m := isoDuration.FindStringSubmatch(text)
	if m == nil || text == "PT" {
		p.i.refuse(document.Member(p.at, name), "such as PT5M", "%q is no duration", text)
		return ""
	}
	var d time.Duration
	for k, unit := range []time.Duration{time.Hour, time.Minute, time.Second} {
		n, _ := strconv.Atoi("0" + m[k+1]) // digits
		d += time.Duration(n) * unit
	}
	return d.String()
}

// cores is a load in percent of so many processors, 0 processors being all of the machine:
// here of one.
func (p *fisParameters) cores(percent, workers string) float64 {
	load, err := strconv.Atoi(firstOf(p.take(percent), "100"))
	if err != nil || load < 1 || load > 100 {
		p.i.refuse(document.Member(p.at, percent), "from 1 to 100", "it is no percentage")
	}
	n, err := strconv.Atoi(firstOf(p.take(workers), "0"))
	if err != nil || n < 0 {
		p.i.refuse(document.Member(p.at, workers), "", "it is no number of processors")
	}
	if n == 0 {
		n = 1
		p.i.note("processor load without a number of processors: of one beside each instance")
	}
	return float64(n) * float64(load) / 100
}
