package trigger

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"showrunner/pipeline"
	"showrunner/source"
)

// Surroundings are the facts that a trigger depends on besides its definition.
type Surroundings struct {
	// URL is the address of this control plane as others reach it.
	URL string
	Now time.Time
	// Secrets are the names of the existing secrets; nil when they are not known.
	Secrets map[string]bool
	// Pipelines are all pipelines, "application/name"; nil when they are not
	// known.
	Pipelines map[string]bool
}

// blocked says why a trigger cannot start anything at present, and what to do. It
// is empty when the trigger can start its pipeline.
func blocked(def Definition, t pipeline.Trigger, in Surroundings) string {
	for _, p := range def.Pipeline.Parameters {
		if _, ok := t.Parameters()[p.Name]; p.Required && !ok {
			return fmt.Sprintf("it does not give the parameter %q, which is required: give it under `parameters` of the trigger, or give the parameter a default instead", p.Name)
		}
	}
	switch {
	case t.Push != nil:
		return unsigned(cmp.Or(t.Push.Secret, defaultSecret), in)
	case t.Webhook != nil:
		return unsigned(cmp.Or(t.Webhook.Secret, defaultSecret), in)
	case t.Pipeline != nil:
		name := cmp.Or(t.Pipeline.Application, def.Application) + "/" + t.Pipeline.Pipeline
		if in.Pipelines != nil && !in.Pipelines[name] {
			return "there is no pipeline " + name + " for it to follow"
		}
	case t.Schedule != nil:
		s, err := ParseSchedule(t.Schedule.Cron, t.Schedule.Zone)
		if err != nil {
			return reasonOf(err)
		}
		if s.Next(in.Now).IsZero() {
			return fmt.Sprintf("%q is never due", t.Schedule.Cron)
		}
	}
	return ""
}

// unsigned says why the signature of deliveries cannot be checked; empty when it
// can.
func unsigned(secret string, in Surroundings) string {
	if in.Secrets == nil || in.Secrets[secret] {
		return ""
	}
	return fmt.Sprintf("the secret %q that deliveries are signed with does not exist: showrunner secret set %s", secret, secret)
}

// addresses are the addresses for deliveries of a trigger. A push trigger has one
// for each forge, or only the one of its repository's forge.
func addresses(def Definition, t pipeline.Trigger, in Surroundings) []string {
	base := strings.TrimSuffix(in.URL, "/") + HooksPath
	switch {
	case t.Webhook != nil:
		return []string{base + Generic + "/" + def.Application + "/" + def.Pipeline.Name + "/" + t.Webhook.Name}
	case t.Push != nil:
		list := []string{}
		for _, forge := range forgesOf(t.Push.Repository) {
			list = append(list, base+forge+"/"+def.Application)
		}
		return list
	}
	return nil
}

// forgesOf returns the forges that may hold a repository; a well-known host
// leaves only one.
func forgesOf(repository string) []string {
	for host, forge := range map[string]string{"github.com": GitHub, "gitlab.com": GitLab, "codeberg.org": Forgejo, "gitea.com": Gitea} {
		if strings.Contains(source.Redact(repository), host) {
			return []string{forge}
		}
	}
	return []string{GitHub, GitLab, Gitea, Forgejo}
}
