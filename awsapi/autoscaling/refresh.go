package autoscaling

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"showrunner/awsapi/carry"
	"showrunner/awsapi/wire"
	"showrunner/cloud"
	"showrunner/control"
)

// refresh replaces the instances of a group by ones that run what it launches now.
type refresh struct {
	ID      string    `json:"id"`
	Status  string    `json:"status"`
	Reason  string    `json:"reason,omitempty"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	Old     []string  `json:"old"` // instances that are to be replaced
	Total   int       `json:"total"`
	Kept    object    `json:"kept,omitempty"` // Preferences, DesiredConfiguration
}

func (r refresh) over() bool { return r.Status != "Pending" && r.Status != "InProgress" }

func (r refresh) told(g group) object {
	done := 100
	if r.Total > 0 {
		done = 100 * (r.Total - len(r.Old)) / r.Total
	}
	return object{"InstanceRefreshId": r.ID, "AutoScalingGroupName": g.Name, "Status": r.Status, "StatusReason": r.Reason, "StartTime": r.Started, "EndTime": r.Ended, "PercentageComplete": done, "InstancesToUpdate": len(r.Old)}.With(r.Kept)
}

func (s *Service) startRefresh(ctx context.Context, c *wire.Call, in object) (object, error) {
	if strategy := in.Text("Strategy"); strategy != "" && strategy != "Rolling" {
		return nil, invalid("This cannot be had here: the strategy %s; there is Rolling", strategy)
	}
	p := in.Inner("Preferences")
	for _, no := range []string{"CheckpointPercentages", "CheckpointDelay", "AutoRollback", "AlarmSpecification"} {
		if p.Has(no) && (no != "AutoRollback" || p.Is(no)) {
			return nil, invalid("This cannot be had here: the preference %s", no)
		}
	}
	g, err := s.find(ctx, c.Region, in.Text("AutoScalingGroupName"))
	if err != nil {
		return nil, err
	}
	sg, err := s.see(ctx, c.Region, g)
	if err != nil {
		return nil, err
	}
	made := refresh{ID: carry.NewUUID(), Status: "Pending", Started: s.Now().UTC(), Kept: in.Only("Preferences", "DesiredConfiguration").Clone()}
	_, err = s.change(ctx, c.Region, g.Name, func(g *group) error {
		if n := len(g.Refreshes); n > 0 && !g.Refreshes[n-1].over() {
			return wire.Errorf("InstanceRefreshInProgress", "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh.")
		}
		if d := in.Inner("DesiredConfiguration"); d != nil {
			if err := refuse(d); err != nil {
				return err
			}
			if err := s.applyLaunch(ctx, c.Region, g, d); err != nil {
				return err
			}
			g.ask(action{Do: "amend"})
		}
		made.Old = nil
		if sg != nil {
			for _, i := range sg.Instances {
				if !p.Is("SkipMatching") || i.Version != g.Version {
					made.Old = append(made.Old, i.ID)
				}
			}
		}
		made.Total = len(made.Old)
		g.Refreshes = append(g.Refreshes[max(0, len(g.Refreshes)-9):], made)
		return nil
	})
	return object{"InstanceRefreshId": made.ID}, err
}

func (s *Service) describeRefreshes(ctx context.Context, c *wire.Call, in object) (object, error) {
	g, err := s.find(ctx, c.Region, in.Text("AutoScalingGroupName"))
	if err != nil {
		return nil, err
	}
	ids := in.Texts("InstanceRefreshIds")
	var all []object
	for n, r := range slices.Backward(g.Refreshes) {
		if len(ids) == 0 || slices.Contains(ids, r.ID) {
			o := r.told(g)
			o["position"] = fmt.Sprintf("%03d", len(g.Refreshes)-n)
			all = append(all, o)
		}
	}
	out, err := answer(in, "InstanceRefreshes", all, 50, by("position"))
	for _, o := range all {
		delete(o, "position")
	}
	return out, err
}

func (s *Service) cancelRefresh(ctx context.Context, c *wire.Call, in object) (object, error) {
	id := ""
	_, err := s.change(ctx, c.Region, in.Text("AutoScalingGroupName"), func(g *group) error {
		n := len(g.Refreshes) - 1
		if n < 0 || g.Refreshes[n].over() {
			return wire.Errorf("ActiveInstanceRefreshNotFound", "No in progress or pending Instance Refresh found for Auto Scaling group %s", g.Name)
		}
		r := &g.Refreshes[n]
		id, r.Status, r.Reason, r.Ended = r.ID, "Cancelled", "Cancelled due to user request.", s.Now().UTC()
		return nil
	})
	return object{"InstanceRefreshId": id}, err
}

// followRefresh replaces the next instances of a refresh that is under way: as many
// as may be missing, once those that replaced the last serve.
func (s *Service) followRefresh(ctx context.Context, region string, g group, sg *cloud.ServerGroup) error {
	n := len(g.Refreshes) - 1
	if n < 0 || g.Refreshes[n].over() || g.isSuspended("InstanceRefresh") {
		return nil
	}
	r := g.Refreshes[n]
	left := slices.DeleteFunc(slices.Clone(r.Old), func(id string) bool {
		return !slices.ContainsFunc(sg.Instances, func(i cloud.Instance) bool { return i.ID == id })
	})
	least := cmp.Or(r.Kept.Inner("Preferences").Number("MinHealthyPercentage", 90), 0)
	missing := max(1, sg.Capacity.Desired*(100-least)/100)
	may := missing - max(0, sg.Capacity.Desired-sg.Serving())
	for _, id := range left {
		at := slices.IndexFunc(sg.Instances, func(i cloud.Instance) bool { return i.ID == id })
		if i := sg.Instances[at]; may > 0 && i.Lifecycle == cloud.InService {
			may--
			err := s.keepActivity(ctx, region, g, newActivity(g, "terminate", i, s.Now(), fmt.Sprintf("At %s an instance was taken out of service in response to an instance refresh.", stamp(s.Now()))))
			if err == nil {
				err = s.Groups.Change(ctx, region, i, control.InstanceChange{Terminate: true, Last: true, Key: "aws.autoscaling/" + i.ID + "/refresh"})
			}
			if err != nil {
				return err
			}
		}
	}
	status, ended := "InProgress", time.Time{}
	if len(left) == 0 && sg.Serving() >= sg.Capacity.Desired {
		status, ended = "Successful", s.Now().UTC()
	}
	if status == r.Status && len(left) == len(r.Old) {
		return nil
	}
	_, err := s.groups.Update(ctx, region+"/"+g.Name, func(g *group) error {
		if n < len(g.Refreshes) && g.Refreshes[n].ID == r.ID && !g.Refreshes[n].over() {
			g.Refreshes[n].Status, g.Refreshes[n].Old, g.Refreshes[n].Ended = status, left, ended
		}
		return nil
	})
	return err
}
