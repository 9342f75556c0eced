package deploy

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/rollout"
	"showrunner/secret"
	"showrunner/stage"
)

// The limits on instances' data in a failure, which is stored in the run and in
// the event log.
const (
	witnesses      = 3   // instances
	witnessLines   = 10  // of each instance's output, the last ones
	witnessColumns = 200 // characters of a line
	witnessTail    = 64 << 10
	// witnessTimeout bounds the reading: a failing rollout is undone soon, even
	// when an instance does not answer.
	witnessTimeout = 3 * time.Second
)

// witnessed are the failures that the output of the new version's instances can
// explain.
var witnessed = map[string]bool{"CANARY_ERRORS": true, "CANARY_SLOW": true, "CANARY_METRICS": true, "CANARY_INCONCLUSIVE": true, "HEALTH_TIMEOUT": true, "CRASH_LOOP": true, "SERVER_GROUP_GONE": true, "VALIDATION_FAILED": true}

// witness adds the last output of the failing version's instances to a failure, and to
// the report of the canary's judge, before the version is taken out of traffic and destroyed: people look at the
// failure later. Output that cannot be read is reported, and changes nothing
// else. Secrets are masked.
func (j job) witness(ctx context.Context, st *rollout.State) {
	f, rs := st.Failure, st.Regions[st.FailedIn]
	if f == nil || rs == nil || rs.New == "" || !witnessed[f.Code] || len(j.spec.Restore) > 0 {
		return // of an older version nobody knows any more which of its variables were secrets
	}
	ctx, cancel := context.WithTimeoutCause(ctx, witnessTimeout, fmt.Errorf("it has not answered within %s", witnessTimeout))
	defer cancel()
	told := slices.ContainsFunc(f.Evidence, func(line string) bool { return strings.HasPrefix(line, "log: ") })
	if _, judged := rollout.Reports(*st)[st.FailedIn]; judged || !told {
		words := masked(j.lastWords(ctx, st.FailedIn, rs.New), j.secrets)
		if !told {
			f.Evidence = append(f.Evidence, words...)
		}
		if judged {
			rs.Logs = words // the report of the judge is read without the failure
		}
	}
	f.Evidence = masked(f.Evidence, j.secrets)
}

// lastWords are the counts and the last lines of the instances of a group: failed
// instances first, then the instances with the most errors.
func (j job) lastWords(ctx context.Context, region, group string) []string {
	instances, err := j.instances(ctx, region, group)
	if err != nil {
		return []string{"what the instances of " + group + " wrote could not be read: " + problem.Text(err)}
	}
	counts := map[string]cloud.Counts{}
	if list, err := j.account.Counts(ctx, region, j.spec.Group.Cluster); err == nil { // else they are shown without
		for _, c := range list {
			counts[c.Instance] = c
		}
	}
	slices.SortStableFunc(instances, func(a, b cloud.Instance) int {
		if (a.Failure != nil) != (b.Failure != nil) {
			return cmp.Compare(order(b.Failure != nil), order(a.Failure != nil))
		}
		return cmp.Compare(counts[b.ID].Errors, counts[a.ID].Errors)
	})
	var lines []string
	for _, i := range instances[:min(len(instances), witnesses)] {
		head := fmt.Sprintf("%s in %s", i.ID, cmp.Or(i.Zone, region))
		if c := counts[i.ID]; c.Requests > 0 {
			head += fmt.Sprintf(": %d errors in %d requests", c.Errors, c.Requests)
		}
		if i.Failure != nil {
			head += ": " + i.Failure.Cause
		}
		lines = append(lines, head)
		var out tail
		switch err := j.account.InstanceLog(ctx, region, i.ID, false, &out); {
		case err != nil:
			lines = append(lines, "its output could not be read: "+problem.Text(err))
		case len(out.lines()) == 0:
			lines = append(lines, "it has written nothing")
		}
		for _, line := range out.lines() {
			lines = append(lines, "log: "+line)
		}
	}
	return lines
}

func order(b bool) int {
	if b {
		return 1
	}
	return 0
}

// instances are the instances of a group, or its recently ended instances when it
// has no others.
func (j job) instances(ctx context.Context, region, group string) ([]cloud.Instance, error) {
	groups, err := j.account.ServerGroups(ctx, region, j.spec.Group.Cluster)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		if g.Name == group && len(g.Instances)+len(g.Ended) > 0 {
			return slices.Concat(g.Instances, g.Ended), nil
		}
	}
	ended, err := j.account.EndedInstances(ctx, region)
	return slices.DeleteFunc(slices.Clone(ended), func(i cloud.Instance) bool { return i.ServerGroup != group }), err
}

// tail keeps the last bytes written to it.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - witnessTail; over > 0 {
		t.kept = slices.Delete(t.kept, 0, over)
	}
	return len(p), nil
}

// lines are the last lines, each cut to its bound.
func (t *tail) lines() []string {
	text := strings.TrimRight(strings.ToValidUTF8(string(t.kept), "\uFFFD"), "\n")
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	lines = lines[max(0, len(lines)-witnessLines):]
	for i, line := range lines {
		if utf8.RuneCountInString(line) > witnessColumns {
			lines[i] = string([]rune(line)[:witnessColumns]) + "…"
		}
	}
	return lines
}

// masked replaces the values of secrets in lines.
func masked(lines []string, secrets []string) []string {
	if len(secrets) == 0 {
		return lines
	}
	out := make([]string, len(lines))
	for i, line := range lines {
		var b bytes.Buffer
		m := secret.NewMasker(&b, secrets...)
		_, _ = m.Write([]byte(line)) // into memory
		_ = m.Flush()
		out[i] = b.String()
	}
	return out
}

// secretsIn are the values of the secrets that an environment refers to.
func secretsIn(ctx context.Context, in *stage.Input, env map[string]string) ([]string, error) {
	var values []string
	for _, text := range env {
		_, err := pipeline.ExpandSecrets(text, func(name string) (string, error) {
			value, err := in.Secrets.Expand(ctx, "${{ secrets."+name+" }}")
			values = append(values, value)
			return value, err
		})
		if err != nil {
			return nil, err
		}
	}
	return values, nil
}
