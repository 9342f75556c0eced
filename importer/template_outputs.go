package importer

import (
	"encoding/json"
	"strings"

	"showrunner/pipeline"
)

// readOutputs gives the template's outputs their local meaning.
func (t *template) readOutputs(outputs cursor) {
	names, values := outputs.members()
	for i, name := range names {
		o := values[i]
		if cond := o.get("Condition"); cond.ok() && !t.condition(scalar(cond.raw), cond.path) {
			o.leave(Info, "output "+name, "its condition does not hold, so the stack does not have it")
			continue
		}
		out := Output{Name: name, Description: scalar(o.get("Description").raw), Path: o.path}
		var value string
		used := t.collect(func() { value = o.get("Value").text() })
		out.Value = unmark(value)
		for _, id := range used {
			r, _ := t.resources.vals[id].(*object)
			if r == nil {
				continue
			}
			switch scalar(r.vals["Type"]) {
			case "AWS::S3::Bucket":
				out.Site = t.sites[id]
			case "AWS::CloudFront::Distribution":
				if site, ok := t.origin(id); ok {
					out.Site = site
				}
			}
		}
		if out.Site != "" && isAddress(out.Value) {
			out.Value = "http://" + siteHost(out.Site) + "/" + pathOf(out.Value)
			o.get("Value").leave(Info, "output "+name, "the site's address here takes the place of the one in AWS")
		}
		o.get("Export").leave(Info, "export", "other stacks read it in AWS; here the value is printed")
		t.outputs(out)
	}
}

// describeSites adds the outputs that are a site's address to the stage that
// deploys the site, where the address is shown after a run.
func describeSites(doc *pipeline.Document, outputs []Output) {
	for _, p := range doc.Pipelines {
		for i := range p.Stages {
			var d pipeline.DeploySite
			if p.Stages[i].Kind != d.Kind() || json.Unmarshal(p.Stages[i].With, &d) != nil {
				continue
			}
			var names []string
			for _, o := range outputs {
				if o.Site == d.Site {
					names = append(names, o.Name+" = "+o.Value)
				}
			}
			p.Stages[i].Description = strings.Join(names, ", ")
		}
	}
}

func (t *template) outputs(o Output) { t.in.outputs = append(t.in.outputs, o) }

// isAddress says whether a value is a URL or a host.
func isAddress(v string) bool {
	return strings.HasPrefix(v, "http://") || strings.HasPrefix(v, "https://") || strings.Contains(v, ".localhost:")
}

// pathOf is the part of an address after its host, without the leading slash.
func pathOf(v string) string {
	v = strings.TrimPrefix(strings.TrimPrefix(v, "https://"), "http://")
	host, path, _ := strings.Cut(v, "/")
	if strings.HasPrefix(host, "s3.") || strings.HasPrefix(host, "s3-") { // in the original, the first part of the path is the bucket
		_, path, _ = strings.Cut(path, "/")
	}
	return path
}
