package trigger

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"showrunner/pipeline"
	"showrunner/source"
)

// Surroundings are what a trigger depends on besides its definition.
type Surroundings struct {
	// URL is where this control plane is reached from outside.
	URL string
	Now time.Time
	// Secrets are the names of the secrets there are; nil when that is not known.
	Secrets map[string]bool
	// Pipelines are all pipelines, "application/name"; nil when that is not known.
	Pipelines map[string]bool
}

// blocked says why a trigger can start nothing as things are, with what to do; empty
// when nothing speaks against it.
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
			return "there is no pipeline " + name + " that it could follow"
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

// unsigned says that deliveries cannot be checked.
func unsigned(secret string, in Surroundings) string {
	if in.Secrets == nil || in.Secrets[secret] {
		return ""
	}
	return fmt.Sprintf("the secret %q that deliveries are signed with is not there: showrunner secret set %s", secret, secret)
}

// addresses are where deliveries for a trigger are sent to: of a push one for each
// forge, or the one of the forge that its repository is on.
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

// forgesOf are the forges that a repository may be on, by its host where that tells.
func forgesOf(repository string) []string {
	for host, forge := range map[string]string{"github.com": GitHub, "gitlab.com": GitLab, "codeberg.org": Forgejo, "gitea.com": Gitea} {
		if strings.Contains(source.Redact(repository), host) {
			return []string{forge}
		}
	}
	return []string{GitHub, GitLab, Gitea, Forgejo}
}
