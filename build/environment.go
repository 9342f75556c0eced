package build

import (
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
	for _, v := range b.spec.Env.Variables {
		values[v.Name] = v.Value
	}
	for name, value := range b.host.Secrets {
		values[name] = value
	}
	for name, value := range b.req.Env {
		values[name] = value
	}
	for name, value := range b.serviceVariables() {
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

// serviceVariables are the names that begin with CODEBUILD_.
func (b *run) serviceVariables() map[string]string {
	r := b.req
	project, uuid, _ := strings.Cut(r.ID, ":")
	region := "us-east-1"
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		if v := r.Env[name]; v != "" {
			region = v
			break
		}
	}
	vars := map[string]string{
		"CODEBUILD_CI":                      "true",
		"CODEBUILD_BUILD_ARN":               "arn:aws:codebuild:" + region + ":000000000000:build/" + r.ID,
		"CODEBUILD_BUILD_ID":                r.ID,
		"CODEBUILD_BUILD_IMAGE":             r.Image,
		"CODEBUILD_BUILD_NUMBER":            strconv.Itoa(r.Number),
		succeeding:                          "1",
		"CODEBUILD_INITIATOR":               r.Initiator,
		"CODEBUILD_KMS_KEY_ID":              "",
		"CODEBUILD_LOG_PATH":                uuid,
		"CODEBUILD_PROJECT":                 project,
		"CODEBUILD_PUBLIC_BUILD_URL":        "",
		"CODEBUILD_RESOLVED_SOURCE_VERSION": r.ResolvedVersion,
		"CODEBUILD_SOURCE_REPO_URL":         r.RepositoryURL,
		"CODEBUILD_SOURCE_VERSION":          r.SourceVersion,
		"CODEBUILD_SRC_DIR":                 b.src,
		"CODEBUILD_START_TIME":              strconv.FormatInt(b.result.StartedAt.UnixMilli(), 10),
	}
	if r.Image == "" {
		vars["CODEBUILD_BUILD_IMAGE"] = "local"
	}
	for id, dir := range b.inputs {
		vars["CODEBUILD_SRC_DIR_"+id] = dir
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
