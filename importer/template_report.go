package importer

import "strings"

// report lists the resources that nothing used.
func (t *template) report(top cursor) {
	for _, id := range t.resources.keys {
		r := cursor{in: t.in, path: pointer("/Resources", id), raw: t.resources.vals[id]}
		kind := scalar(r.get("Type").raw)
		if kind == "" {
			r.leave(Error, "resource "+id, "it has no Type")
			continue
		}
		if !t.touched[id] {
			if decided, ok := t.decided[scalar(r.get("Condition").raw)]; ok && !decided {
				r.leave(Info, kind, "its condition does not hold, so the stack does not have it")
				continue
			}
			why, severity := unreadResource(kind)
			r.leave(severity, kind, "%s", why)
			continue
		}
		for _, key := range []string{"Metadata", "DependsOn", "Condition"} {
			r.get(key).leave(Info, key, "it says where the resource comes from, when it is made, or whether")
		}
		for _, key := range []string{"DeletionPolicy", "UpdateReplacePolicy"} {
			r.get(key).leave(Info, key+" "+scalar(r.get(key).raw), "sites and their deployments stay until they are deleted by name")
		}
		r.unread(func(path, key string) (string, Severity) {
			switch kind {
			case "AWS::S3::Bucket":
				return unreadBucket(key)
			case "AWS::CloudFront::Distribution":
				return "the edge serves the site; this setting of the distribution has no equivalent", Warning
			case "AWS::CodeStarConnections::Connection", "AWS::CodeConnections::Connection":
				return "a connection is a login of AWS: the git stage uses a token instead", Info
			}
			return unreadPipeline(path, key)
		})
	}
	t.reportSections(top)
}

func unreadBucket(key string) (string, Severity) {
	switch key {
	case "RoutingRules", "RedirectAllRequestsTo":
		return "a site redirects nothing: put the redirect into the page, or into what stands before the edge", Error
	case "PublicAccessBlockConfiguration", "OwnershipControls", "AccessControl":
		return "a site is read through the edge, which asks for no access list", Info
	case "VersioningConfiguration", "LifecycleConfiguration":
		return "earlier deployments are kept by `keep:`, and `showrunner rollback` returns to them", Info
	case "BucketEncryption":
		return "objects are not encrypted: encrypt the disk of the data folder", Info
	case "CorsConfiguration", "NotificationConfiguration", "ReplicationConfiguration", "LoggingConfiguration":
		return "a site has no such setting", Warning
	case "Tags":
		return "sites have no tags", Info
	}
	return "a site has no such setting", Warning
}

func (t *template) reportSections(top cursor) {
	for _, name := range t.parameters.keys {
		p := cursor{in: t.in, path: pointer("/Parameters", name), raw: t.parameters.vals[name]}
		_, given := t.in.opts.Parameters[name]
		switch {
		case name == "BootstrapVersion":
			p.leave(Info, "parameter "+name, "it names the version of the CDK's bootstrap stack, which is not needed here")
		case !t.parametersUsed[name]:
			p.leave(Info, "parameter "+name, "nothing that was carried over uses it")
		case given:
			p.leave(Info, "parameter "+name, "the value given with --parameter stands in the file")
		case t.in.openParameters[name] && !t.in.askedParameters[name]:
			p.leave(Info, "parameter "+name, "what uses it was not carried over")
		case !t.in.openParameters[name]:
			p.leave(Info, "parameter "+name, "its default stands in the file; --parameter %s=VALUE gives another", name)
		}
	}
	top.get("AWSTemplateFormatVersion").leave(Info, "AWSTemplateFormatVersion", "the form of the template")
	for _, key := range []string{"Resources", "Parameters", "Mappings", "Conditions", "Outputs", "Description"} {
		top.get(key).markRead()
	}
	top.get("Metadata").leave(Info, "Metadata", "it is for the tools that show the template")
	if r := top.get("Rules"); r.ok() {
		keys, values := r.members()
		for i, k := range keys {
			values[i].leave(Info, "rule "+k, "it checks the parameters of a deployment to AWS")
		}
	}
	if x := top.get("Transform"); strings.HasPrefix(scalar(x.raw), "AWS::Serverless-") {
		x.leave(Info, "Transform "+scalar(x.raw), "it makes functions and their like of the resources AWS::Serverless, which are listed one by one")
	} else {
		x.leave(Error, "Transform "+scalar(x.raw), "macros run in AWS: give the template as AWS has processed it (`aws cloudformation get-template --template-stage Processed`)")
	}
	top.unread(unreadPipeline)
}
