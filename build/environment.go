package build

import (
	"cmp"
	"os"
	"slices"
	"strconv"
	"strings"
)

// environment is what commands see: what the machine has, then the buildspec's
// variables, then those of the stage or command line, then secrets, then what
// the service itself sets.
func (b *run) environment() []string {
	values := map[string]string{}
	if b.engine == nil {
		for _, e := range b.req.Inherit {
			if name, value, ok := strings.Cut(e, "="); ok {
				values[name] = value
			}
		}
	}
	for _, drop := range []string{"BASH_ENV", "ENV", "OLDPWD", "SHELLOPTS", "BASHOPTS"} {
		delete(values, drop) // they would change what the shell is
	}
	if path, ok := values["PATH"]; ok {
		values["PATH"] = b.bin + string(os.PathListSeparator) + path
	} else if b.engine == nil {
		values["PATH"] = b.bin + string(os.PathListSeparator) + os.Getenv("PATH")
	}
	values["TMPDIR"] = b.tmp
	if b.req.Traceparent != "" {
		values["TRACEPARENT"] = b.req.Traceparent
		delete(values, "TRACESTATE") // it belongs to another context
	}
	given := map[string]string{}
	for _, v := range b.spec.Env.Variables {
		given[v.Name] = v.Value
	}
	given = merged(given, b.host.Secrets, b.req.Env)
	region := cmp.Or(buildRegion(given), buildRegion(values), defaultRegion)
	for _, name := range regionVariables {
		values[name] = region
	}
	for name, value := range given {
		values[name] = value
	}
	for name, value := range b.serviceVariables(region) {
		values[name] = value
	}
	values[markVariable] = b.mark.value
	var list []string
	for name, value := range values {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}

// regionVariables name the region of a build: one for the SDKs of AWS, one for
// its command line.
var regionVariables = []string{"AWS_REGION", "AWS_DEFAULT_REGION"}

// defaultRegion is the region of a build that is told of none.
const defaultRegion = "us-east-1"

// buildRegion is the region that variables name; AWS_REGION decides when both
// name one.
func buildRegion(values map[string]string) string {
	for _, name := range regionVariables {
		if v := values[name]; v != "" {
			return v
		}
	}
	return ""
}

// accountNumber stands in for the number of an AWS account in the ARNs of a build.
const accountNumber = "000000000000"

// serviceVariables are the names that begin with CODEBUILD_, as
// https://docs.aws.amazon.com/codebuild/latest/userguide/build-env-ref-env-vars.html
// lists them.
func (b *run) serviceVariables(region string) map[string]string {
	r := b.req
	project, uuid, _ := strings.Cut(r.ID, ":")
	arn := "arn:aws:codebuild:" + region + ":" + accountNumber + ":"
	vars := map[string]string{
		"CODEBUILD_CI":               "true",
		"CODEBUILD_BUILD_ARN":        arn + "build/" + r.ID,
		"CODEBUILD_BUILD_ID":         r.ID,
		"CODEBUILD_BUILD_IMAGE":      r.Image,
		"CODEBUILD_BUILD_NUMBER":     strconv.Itoa(r.Number),
		succeeding:                   "1",
		"CODEBUILD_INITIATOR":        r.Initiator,
		"CODEBUILD_KMS_KEY_ID":       "",
		"CODEBUILD_LOG_PATH":         uuid,
		"CODEBUILD_PROJECT":          project,
		"CODEBUILD_PROJECT_ARN":      arn + "project/" + project,
		"CODEBUILD_PUBLIC_BUILD_URL": "",
		"CODEBUILD_SRC_DIR":          b.src,
		"CODEBUILD_START_TIME":       strconv.FormatInt(b.result.StartedAt.UnixMilli(), 10),
	}
	if r.Image == "" {
		vars["CODEBUILD_BUILD_IMAGE"] = "local"
	}
	origin := func(suffix string, o Origin) {
		vars["CODEBUILD_RESOLVED_SOURCE_VERSION"+suffix] = o.ResolvedVersion
		vars["CODEBUILD_SOURCE_REPO_URL"+suffix] = WithoutCredentials(o.RepositoryURL)
		vars["CODEBUILD_SOURCE_VERSION"+suffix] = o.SourceVersion
	}
	origin("", r.Origin)
	for id, dir := range b.inputs {
		vars["CODEBUILD_SRC_DIR_"+id] = dir
		origin("_"+id, r.Origins[id])
	}
	for name, value := range r.Webhook {
		vars["CODEBUILD_WEBHOOK_"+name] = value
	}
	return vars
}

// CleanEnvironment is environ without what a build on this machine must not
// see: the settings of this program, another build's variables, and names that
// speak of credentials. A build that needs one of those is given it by name.
func CleanEnvironment(environ []string) []string {
	return slices.DeleteFunc(OwnEnvironment(environ), func(e string) bool {
		name, _, _ := strings.Cut(strings.ToUpper(e), "=")
		for _, word := range []string{"TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "PRIVATE_KEY", "API_KEY", "APIKEY", "ACCESS_KEY", "DATABASE_URL", "PGPASS", "_DSN"} {
			if strings.Contains(name, word) {
				return true
			}
		}
		return false
	})
}

// OwnEnvironment is environ without the settings of this program and another
// build's variables: what a build sees that a person starts in their own shell.
func OwnEnvironment(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(e string) bool {
		return strings.HasPrefix(e, "SHOWRUNNER_") || strings.HasPrefix(e, "CODEBUILD_")
	})
}
