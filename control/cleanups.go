package control

import (
	"context"
	"fmt"
	"slices"
	"time"

	"showrunner/cloud"
	"showrunner/rollout"
	"showrunner/stage/deploy"
)

// CleanUps tells what rollouts have left to be cleaned up.
type CleanUps interface {
	// List selects by account and cluster, when given.
	List(ctx context.Context, account, cluster string) ([]deploy.CleanUp, error)
}

// CleanUp is what one rollout has left in one region and is not cleaned up yet.
type CleanUp struct {
	Account     string    `json:"account"`
	Cluster     string    `json:"cluster"`
	Region      string    `json:"region"`
	Application string    `json:"application"`
	Execution   string    `json:"execution"`
	Stage       string    `json:"stage"`
	Due         time.Time `json:"due"`              // what was replaced is kept until then
	HeldBy      string    `json:"heldBy,omitempty"` // the execution that changes the cluster; nothing is removed meanwhile
	Tries       int       `json:"tries,omitempty"`  // attempts in a row that failed, the last with Problem
	Problem     string    `json:"problem,omitempty"`
	Text        string    `json:"text"` // how it stands, for people
}

// CleanUpQuery selects clean-ups; a zero field selects all.
type CleanUpQuery struct{ Account, Application, Cluster, Execution string }

// ListCleanUps lists what is still to be cleaned up.
func (s *Service) ListCleanUps(ctx context.Context, p Principal, q CleanUpQuery) ([]CleanUp, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindCluster, Name: q.Cluster, Application: q.Application, Account: q.Account}); err != nil {
		return nil, err
	}
	list, account := []CleanUp{}, q.Account
	if q.Cluster != "" && account == "" {
		account = DefaultAccount
	}
	if s.CleanUps == nil {
		return list, nil
	}
	all, err := s.CleanUps.List(ctx, account, q.Cluster)
	for _, u := range all {
		if q.Application != "" && u.Application != q.Application || q.Execution != "" && u.Key.Execution != q.Execution {
			continue
		}
		c := CleanUp{Account: u.Account, Cluster: u.Cluster, Region: u.Region, Application: u.Application, Execution: u.Key.Execution, Stage: u.Key.Stage,
			Due: u.Leftovers.Due, Tries: u.Tries, Problem: u.Problem, Text: u.Text(s.Now())}
		if u.Held != nil {
			c.HeldBy = u.Held.Execution
		}
		list = append(list, c)
	}
	return list, err
}

// GroupCleanUp is the clean-up of a server group that a rollout has replaced.
type GroupCleanUp struct {
	Region      string                `json:"region"`
	ServerGroup string                `json:"serverGroup"`
	Action      rollout.CleanUpAction `json:"fate"`
	// Until is when the action begins, zero when it has begun or the group is
	// kept permanently.
	Until time.Time `json:"until,omitzero"`
	Text  string    `json:"text"` // for people; Until belongs after it
}

// setGroupCleanUps adds the clean-ups of each cluster's groups. Without the
// records the clusters are shown as the cloud describes them.
func (s *Service) setGroupCleanUps(ctx context.Context, account string, clusters []Cluster, cluster string) {
	var all []deploy.CleanUp
	if s.CleanUps != nil {
		var err error
		if all, err = s.CleanUps.List(ctx, account, cluster); err != nil {
			s.Log.Warn("what is to be cleaned up cannot be read", "error", err)
		}
	}
	for i := range clusters {
		c := &clusters[i]
		for _, region := range regionsOf(c.Groups) {
			var here []cloud.ServerGroup
			for _, g := range c.Groups {
				if g.Region == region {
					here = append(here, g)
				}
			}
			at := slices.IndexFunc(all, func(u deploy.CleanUp) bool { return u.Cluster == c.Name && u.Region == region })
			if at >= 0 {
				c.GroupCleanUps = append(c.GroupCleanUps, groupCleanUpsOf(all[at], here, s.Now())...)
				continue
			}
			for _, g := range here {
				if g.Destroying {
					c.GroupCleanUps = append(c.GroupCleanUps, GroupCleanUp{Region: region, ServerGroup: g.Name, Action: rollout.Destroyed, Text: "being removed"})
				}
			}
		}
	}
}

func groupCleanUpsOf(u deploy.CleanUp, here []cloud.ServerGroup, now time.Time) (list []GroupCleanUp) {
	for _, d := range u.Leftovers.GroupActions(here) {
		f := GroupCleanUp{Region: u.Region, ServerGroup: d.Group, Action: d.Action, Text: "kept for rollback"}
		lasts := d.Action == rollout.Kept || d.Action == rollout.Unpinned
		switch {
		case lasts:
		case u.Held != nil && !d.Started:
			f.Text = fmt.Sprintf("kept while execution %s changes the cluster", u.Held.Execution)
		case now.Before(u.Leftovers.Due) && !d.Started:
			f.Until = u.Leftovers.Due
		case d.Action == rollout.Destroyed:
			f.Text = "being removed"
		default:
			f.Text = "being shrunk to no instances"
		}
		if u.Problem != "" && !lasts {
			f.Text += fmt.Sprintf(" (%d attempts failed: %s)", u.Tries, u.Problem)
		}
		list = append(list, f)
	}
	return list
}
