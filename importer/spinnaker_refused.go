package importer

import "showrunner/problem"

// renderedSpinnaker refuses, by name, documents that another program has to
// process before they are pipelines.
func renderedSpinnaker(file string, v any) error {
	o, _ := v.(*object)
	if o == nil {
		return nil
	}
	has := func(key string) bool { return o.vals[key] != nil }
	refuse := func(what, help string) error {
		return problem.New(problem.Invalid, "import", "%s: %s has to be rendered first", file, what).WithHelp("%s", help)
	}
	config, _ := o.vals["config"].(*object)
	switch {
	case has("pipelines") && !has("stages"):
		return refuse("a dinghyfile", "render it (`arm dinghy render FILE`) and give the list under \"pipelines\", or the pipeline's JSON as Spinnaker shows it")
	case has("template") || has("type") && scalar(o.vals["type"]) == "templatedPipeline" || config != nil && config.vals["schema"] != nil:
		return refuse("a pipeline made from a template", "give what `spin pipeline get` shows of it once it is planned (`spin pipeline-template plan --file FILE`)")
	case has("schema") && has("variables") && (has("pipeline") || has("protect") || has("metadata")):
		return refuse("a pipeline template", "give a pipeline that was made from it, as `spin pipeline-template plan --file FILE` shows it")
	}
	return nil
}
