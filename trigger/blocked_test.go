package trigger

import (
	"slices"
	"strings"
	"testing"

	"showrunner/pipeline"
)

// A trigger that cannot start anything says why, and what to do.
func TestBlockedTriggers(t *testing.T) {
	def := func(parameters ...pipeline.Parameter) Definition {
		return Definition{Application: "shop", Pipeline: pipeline.Pipeline{Name: "release", Parameters: parameters}}
	}
	required := pipeline.Parameter{Name: "version", Required: true}
	in := Surroundings{Now: epoch, Secrets: map[string]bool{"webhook": true}, Pipelines: map[string]bool{"shop/build": true}}
	for name, tt := range map[string]struct {
		def  Definition
		t    pipeline.Trigger
		in   Surroundings
		says string // "" when it can start
	}{
		"nothing required":         {def(pipeline.Parameter{Name: "version"}), pipeline.Trigger{Schedule: &pipeline.ScheduleTrigger{Cron: "@daily"}}, in, ""},
		"required and not given":   {def(required), pipeline.Trigger{Schedule: &pipeline.ScheduleTrigger{Cron: "@daily"}}, in, `does not give the parameter "version"`},
		"of a push":                {def(required), pipeline.Trigger{Push: &pipeline.PushTrigger{}}, in, `does not give the parameter "version"`},
		"required and given":       {def(required), pipeline.Trigger{Push: &pipeline.PushTrigger{Parameters: map[string]string{"version": "${{ trigger.tag }}"}}}, in, ""},
		"a push without a secret":  {def(), pipeline.Trigger{Push: &pipeline.PushTrigger{Secret: "forge"}}, in, "showrunner secret set forge"},
		"a webhook without one":    {def(), pipeline.Trigger{Webhook: &pipeline.WebhookTrigger{Name: "go"}}, Surroundings{Now: epoch, Secrets: map[string]bool{}}, "showrunner secret set webhook"},
		"secrets not known":        {def(), pipeline.Trigger{Webhook: &pipeline.WebhookTrigger{Name: "go"}}, Surroundings{Now: epoch}, ""},
		"follows nothing":          {def(), pipeline.Trigger{Pipeline: &pipeline.PipelineTrigger{Application: "bank", Pipeline: "build"}}, in, "no pipeline bank/build"},
		"follows another":          {def(), pipeline.Trigger{Pipeline: &pipeline.PipelineTrigger{Pipeline: "build"}}, in, ""},
		"a day that never comes":   {def(), pipeline.Trigger{Schedule: &pipeline.ScheduleTrigger{Cron: "0 0 31 2 *"}}, in, "never due"},
		"a zone that is none":      {def(), pipeline.Trigger{Schedule: &pipeline.ScheduleTrigger{Cron: "@daily", Zone: "Mars/Base"}}, in, "no time zone"},
		"a poll needs nothing yet": {def(), pipeline.Trigger{Poll: &pipeline.PollTrigger{URL: "https://git.example/x"}}, in, ""},
	} {
		got := blocked(tt.def, tt.t, tt.in)
		if (got == "") != (tt.says == "") || !strings.Contains(got, tt.says) {
			t.Errorf("%s: %q, want %q", name, got, tt.says)
		}
		st := Status{Blocked: got}
		if st.Fails() != (tt.says != "") || st.Why() != got {
			t.Errorf("%s: %+v", name, st)
		}
	}
}

// The address for deliveries is shown: that of one forge where the repository's
// host tells the forge.
func TestAddressesOfTriggers(t *testing.T) {
	def := Definition{Application: "shop", Pipeline: pipeline.Pipeline{Name: "release"}}
	in := Surroundings{URL: "https://deploy.example/"}
	for want, trigger := range map[string]pipeline.Trigger{
		"https://deploy.example/hooks/github/shop":             {Push: &pipeline.PushTrigger{Repository: "https://github.com/acme/shop"}},
		"https://deploy.example/hooks/generic/shop/release/go": {Webhook: &pipeline.WebhookTrigger{Name: "go"}},
		"https://deploy.example/hooks/github/shop https://deploy.example/hooks/gitlab/shop https://deploy.example/hooks/gitea/shop https://deploy.example/hooks/forgejo/shop": {Push: &pipeline.PushTrigger{Repository: "acme/shop"}},
		"": {Schedule: &pipeline.ScheduleTrigger{}},
	} {
		if got := addresses(def, trigger, in); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%v, want %s", got, want)
		}
	}
}
