package importer

import (
	"regexp"
	"strings"
)

// attribute is the local meaning of a resource's attribute.
func (t *template) attribute(name, kind, attribute, path string) string {
	local := t.name(name)
	switch kind + "." + attribute {
	case "AWS::S3::Bucket.Arn":
		return "arn:" + t.pseudo("AWS::Partition", path) + ":s3:::" + local
	case "AWS::S3::Bucket.WebsiteURL":
		return "http://" + siteHost(siteName(local))
	case "AWS::S3::Bucket.DomainName", "AWS::S3::Bucket.RegionalDomainName", "AWS::S3::Bucket.DualStackDomainName":
		return siteHost(siteName(local))
	case "AWS::CodeCommit::Repository.Name":
		return local
	case "AWS::CloudFront::Distribution.DomainName":
		if site, ok := t.origin(name); ok {
			return siteHost(site)
		}
	}
	if attribute == "Arn" {
		service := strings.ToLower(strings.SplitN(strings.TrimPrefix(kind, "AWS::"), "::", 2)[0])
		return "arn:" + t.pseudo("AWS::Partition", path) + ":" + service + ":" + t.pseudo("AWS::Region", path) + ":" + t.pseudo("AWS::AccountId", path) + ":" + local
	}
	t.in.note(Warning, path, "Fn::GetAtt "+name+"."+attribute, "%s has no attribute %s here: the text %q stands in its place", kind, attribute, local+"."+attribute)
	return local + "." + attribute
}

// nameProperties are the properties that give a resource its name.
var nameProperties = map[string]string{
	"AWS::S3::Bucket": "BucketName", "AWS::CodeBuild::Project": "Name", "AWS::CodePipeline::Pipeline": "Name",
	"AWS::CodeCommit::Repository": "RepositoryName", "AWS::SSM::Parameter": "Name", "AWS::SecretsManager::Secret": "Name",
}

// cdkHash is what CDK appends to a logical ID.
var cdkHash = regexp.MustCompile(`[0-9A-F]{8}$`)

// name is the name of a resource: its own name where it has one, otherwise a name
// made from its logical ID.
func (t *template) name(id string) string {
	if n, ok := t.names[id]; ok {
		return n
	}
	t.names[id] = id // guards against recursion while its own name is evaluated
	resource, _ := t.resources.vals[id].(*object)
	if resource == nil {
		return id
	}
	kind := scalar(resource.vals["Type"])
	name := ""
	if properties, ok := resource.vals["Properties"].(*object); ok {
		if v, ok := properties.vals[nameProperties[kind]]; ok {
			name = t.text(v, pointer("/Resources", id)+"/Properties/"+nameProperties[kind], 0)
		}
	}
	if name == "" {
		name = id
		if kind == "AWS::S3::Bucket" {
			name = t.freshName(kebab(cdkHash.ReplaceAllString(id, "")), id)
			t.in.note(Info, pointer("/Resources", id), "bucket "+id, "it has no BucketName: it is called %q here, after its logical ID", name)
		}
	}
	t.names[id] = name
	return name
}

// freshName prevents two buckets from sharing a site.
func (t *template) freshName(name, id string) string {
	for other, taken := range t.names {
		if other != id && taken == name {
			return kebab(id)
		}
	}
	return name
}

var subVariable = regexp.MustCompile(`\$\{(!?)([^}]*)\}`)
