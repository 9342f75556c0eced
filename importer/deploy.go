package importer

import (
	"strings"

	"showrunner/pipeline"
)

// deployS3 converts the S3 deploy action: the bucket becomes a site.
func (c *conversion) deployS3(a *action) bool {
	if !c.configured(a, "BucketName") {
		return false
	}
	bucket := c.finish(a.config.get("BucketName"), false)
	if len(a.inputs) == 0 {
		c.in.note(Error, a.path, "Deploy action "+a.name, "it has no input artifact; the stage is left out")
		return false
	}
	input := a.inputs[0].get("Name").static()
	artifact := c.artifacts[input]
	if artifact == "" {
		c.in.note(Error, a.path, "Deploy action "+a.name, "the stage that makes its artifact %s was left out, so it is too", input)
		return false
	}
	d := pipeline.DeploySite{Site: dynamicSite(bucket), Artifact: artifact}
	if c.in.opts.Here {
		d.Site, d.Existing = bucket, true
	}
	key := a.config.get("ObjectKey")
	extract := a.config.get("Extract")
	if !extract.ok() || extract.boolean() {
		d.Prefix = strings.Trim(c.objectKey(key), "/")
	} else {
		d.Archive = c.objectKey(key)
		if d.Archive == "" {
			d.Archive = input + ".zip"
			c.in.note(Warning, extract.path, "Extract false without ObjectKey", "the archive is called %s", d.Archive)
		}
	}
	if v := c.finish(a.config.get("CacheControl"), false); v != "" {
		d.CacheControl = []pipeline.CacheRule{{Files: "**", Value: v}}
	}
	a.config.get("CannedACL").leave(Info, "CannedACL", "a site is read through the edge, which asks for no ACL")
	a.config.get("KMSEncryptionKeyARN").leave(Warning, "KMSEncryptionKeyARN", "objects of a local region are not encrypted: encrypt the disk")
	if region := a.get("Region").static(); region != "" {
		d.Waves = []pipeline.Wave{{Regions: []string{region}}}
		c.in.note(Info, a.get("Region").path, "region "+region, "the stage deploys to this region alone: `showrunner up --regions` has to name it")
	}
	if c.tmpl != nil {
		c.website(a, bucket, &d)
	}
	c.set(a, d)
	return true
}

// dynamicSite is the site of a bucket. Expressions in the bucket's name are kept.
func dynamicSite(bucket string) string {
	if !strings.Contains(bucket, "${{") {
		return siteName(bucket)
	}
	return bucket
}

// objectKey replaces the action's own placeholders.
func (c *conversion) objectKey(field cursor) string {
	s := c.finish(field, false)
	if strings.Contains(s, "{uuid}") {
		s = strings.ReplaceAll(s, "{uuid}", "${{ execution.id }}")
	}
	if strings.Contains(s, "{datetime}") {
		c.in.note(Warning, field.path, "{datetime}", "the execution's id takes its place")
		s = strings.ReplaceAll(s, "{datetime}", "${{ execution.id }}")
	}
	return s
}

// website takes the site's settings from the bucket's own resource, and from a
// CloudFront distribution in front of it.
func (c *conversion) website(a *action, bucket string, d *pipeline.DeploySite) {
	id, ok := c.tmpl.named("AWS::S3::Bucket", bucket)
	if !ok {
		return
	}
	c.tmpl.sites[id] = d.Site
	properties := c.tmpl.resource(id).get("Properties")
	properties.get("BucketName").markRead() // the resource has already given the site its name
	site := properties.get("WebsiteConfiguration")
	d.Index, d.Error = c.in.complete(site.get("IndexDocument").text()), c.in.complete(site.get("ErrorDocument").text())
	for _, dist := range c.tmpl.ofType("AWS::CloudFront::Distribution") {
		if got, ok := c.tmpl.origin(dist); ok && got == d.Site {
			config := c.tmpl.resource(dist).get("Properties").get("DistributionConfig")
			if v := config.get("DefaultRootObject").static(); v != "" && d.Index == "" {
				d.Index = strings.Trim(v, "/")
			}
			for _, e := range config.get("CustomErrorResponses").items() {
				page := strings.Trim(e.get("ResponsePagePath").static(), "/")
				if code := e.get("ErrorCode").number(); (code == 404 || code == 403) && page != "" && d.Error == "" {
					d.Error = page
					if answer := e.get("ResponseCode"); answer.ok() && answer.number() != 404 {
						c.in.note(Warning, answer.path, "ResponseCode "+answer.static(), "the error document is answered with status 404")
					}
				}
				e.leave(Info, "custom error response", "the page is the site's error document where its code is 404 or 403, and is left out otherwise")
			}
		}
	}
	if d.Index == "index.html" {
		d.Index = "" // the default
	}
}
