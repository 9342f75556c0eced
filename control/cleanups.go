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

// GroupFate is what becomes of a server group that a rollout has replaced.
type GroupFate struct {
	Region      string       `json:"region"`
	ServerGroup string       `json:"serverGroup"`
	Fate        rollout.Fate `json:"fate"`
	// Until is when that happens, zero when it has begun or the group is kept for good.
	Until time.Time `json:"until,omitzero"`
	Text  string    `json:"text"` // for people; Until belongs after it
}

// setFates says of each cluster's groups what becomes of them. Without an answer
// the clusters are shown as the cloud says.
func (s *Service) setFates(ctx context.Context, account string, clusters []Cluster, cluster string) {
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
				c.Fates = append(c.Fates, fatesOf(all[at], here, s.Now())...)
				continue
			}
			for _, g := range here {
				if g.Destroying {
					c.Fates = append(c.Fates, GroupFate{Region: region, ServerGroup: g.Name, Fate: rollout.Destroyed, Text: "being removed"})
				}
			}
		}
	}
}

func fatesOf(u deploy.CleanUp, here []cloud.ServerGroup, now time.Time) (list []GroupFate) {
	for _, d := range u.Leftovers.Dispose(here) {
		f := GroupFate{Region: u.Region, ServerGroup: d.Group, Fate: d.Fate, Text: "kept for rollback"}
		lasts := d.Fate == rollout.Kept || d.Fate == rollout.Unpinned
		switch {
		case lasts:
		case u.Held != nil && !d.Under:
			f.Text = fmt.Sprintf("kept while execution %s changes the cluster", u.Held.Execution)
		case now.Before(u.Leftovers.Due) && !d.Under:
			f.Until = u.Leftovers.Due
		case d.Fate == rollout.Destroyed:
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
