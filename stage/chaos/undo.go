package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"showrunner/cloud"
)

// Undoing tells from a task's saved state whether it undoes what it has begun.
func Undoing(saved json.RawMessage) bool {
	var st state
	return saved != nil && json.Unmarshal(saved, &st) == nil && (st.Step == stepUndo || st.Step == stepGone)
}

// undo ends the faults first, then returns the traffic, and has both groups end.
func (t *trial) undo(ctx context.Context) (time.Duration, error) {
	for _, f := range t.st.Planned {
		if err := t.Faults.Undo(ctx, t.in.StartedBy, f.ID); err != nil {
			return 0, err
		}
	}
	groups, err := t.account.ServerGroups(ctx, t.st.Region, t.config.Cluster)
	if err != nil {
		return 0, err
	}
	ours := t.ours(groups)
	if len(t.st.Weights) > 0 && len(ours) > 0 {
		weights := map[string]float64{}
		for _, g := range groups {
			if w, had := t.st.Weights[g.Name]; had && !g.Destroying {
				weights[g.Name] = w
			}
			if slices.Contains(ours, g.Name) {
				weights[g.Name] = 0
			}
		}
		if err := t.account.SetWeights(ctx, t.st.Region, t.config.Cluster, weights, cloud.Guard{LastOne: true}, t.key("restore")); err != nil {
			return 0, err
		}
	}
	for _, name := range ours {
		if err := t.account.Destroy(ctx, t.st.Region, name, cloud.Guard{}, t.key("destroy "+name)); err != nil {
			return 0, err
		}
	}
	if t.st.Failure != nil && len(ours) > 0 {
		t.st.Failure.Undone = []string{fmt.Sprintf("%s: faults ended, traffic returned, %s ended", t.st.Region, strings.Join(ours, " and "))}
	}
	t.st.Step = stepGone
	return immediately, nil
}

// ours are the groups that the experiment made, also one whose name it did not get to
// save.
func (t *trial) ours(groups []cloud.ServerGroup) (names []string) {
	for _, g := range groups {
		if g.Name == t.st.Control || g.Name == t.st.Test || g.Spec.Execution == t.in.Key.Execution && !slices.Contains(t.st.Before, g.Name) {
			names = append(names, g.Name)
		}
	}
	return names
}

// gone waits until both groups are gone, and yields the claim.
func (t *trial) gone(ctx context.Context) (time.Duration, bool, error) {
	groups, err := t.account.ServerGroups(ctx, t.st.Region, t.config.Cluster)
	if err != nil {
		return 0, false, err
	}
	if left := t.ours(groups); len(left) > 0 {
		t.waits = "waits until " + strings.Join(left, " and ") + " are gone"
		return look, false, nil
	}
	return 0, true, t.Claims.Yield(ctx, t.account.Name(), t.config.Cluster, t.regions(), t.in.Key)
}
