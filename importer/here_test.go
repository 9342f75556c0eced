package importer_test

import (
	"encoding/json"
	"testing"

	"showrunner/importer"
	"showrunner/pipeline"
)

const herePipeline = `{"pipeline": {"name": "ShopPipeline", "pipelineType": "V2", "stages": [
 {"name": "Source", "actions": [
  {"name": "Upload", "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"}, "namespace": "S",
   "configuration": {"S3Bucket": "uploads", "S3ObjectKey": "app.zip", "PollForSourceChanges": "false"}, "outputArtifacts": [{"name": "src"}]}]},
 {"name": "Build", "actions": [
  {"name": "Build", "actionTypeId": {"category": "Build", "owner": "AWS", "provider": "CodeBuild", "version": "1"},
   "configuration": {"ProjectName": "ShopBuild_1", "EnvironmentVariables": "[{\"name\":\"V\",\"value\":\"#{S.VersionId}\"}]"},
   "inputArtifacts": [{"name": "src"}], "outputArtifacts": [{"name": "out"}]}]},
 {"name": "Deploy", "actions": [
  {"name": "Site", "region": "eu-west-1", "actionTypeId": {"category": "Deploy", "owner": "AWS", "provider": "S3", "version": "1"},
   "configuration": {"BucketName": "9shop--site", "Extract": "true"}, "inputArtifacts": [{"name": "out"}]}]}]}}`

// A document of this machine's endpoint keeps its names and uses the regions' buckets.
func TestHereKeepsNamesAndBuckets(t *testing.T) {
	t.Parallel()
	r, err := importer.CodePipeline([]byte(herePipeline), importer.Options{Here: true, Application: "ShopPipeline",
		Projects: map[string][]byte{"ShopBuild_1": []byte(`{"name": "ShopBuild_1", "source": {"type": "CODEPIPELINE"}}`)}})
	if err != nil {
		t.Fatal(err)
	}
	if n := r.Errors(); n > 0 {
		t.Errorf("%d errors: %+v", n, r.NotCarried)
	}
	p := r.Document.Pipelines[0]
	if p.Name != "ShopPipeline" || len(p.Stages) != 3 {
		t.Fatalf("%+v", p)
	}
	var object pipeline.Object
	var build pipeline.Build
	var site pipeline.DeploySite
	for i, into := range []any{&object, &build, &site} {
		if err := json.Unmarshal(p.Stages[i].With, into); err != nil {
			t.Fatal(err)
		}
	}
	if object.Bucket != "uploads" || object.Key != "app.zip" || p.Stages[0].Kind != "object" {
		t.Errorf("the source is %s %+v", p.Stages[0].Kind, object)
	}
	if build.Project != "ShopBuild_1" || build.Env["V"] != "${{ stages.upload.outputs.version }}" {
		t.Errorf("the build is %+v", build)
	}
	if site.Site != "9shop--site" || !site.Existing || len(site.Waves) != 1 || site.Waves[0].Regions[0] != "eu-west-1" {
		t.Errorf("the site is %+v", site)
	}
	if len(r.Secrets) > 0 {
		t.Errorf("it asks for the secrets %+v", r.Secrets)
	}
}
