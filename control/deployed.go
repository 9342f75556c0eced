package control

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/store/record"
)

// Deployed is what was last put into traffic of a cluster, or of a part of a
// website, in one region, and finished: by whichever deployment, rollback or repair.
// One is kept for each in a record. The order in which stages ended in the event
// log decides what was last; when their executions started does not.
type Deployed struct {
	Kind        SubjectKind `json:"kind"` // cluster or site
	Account     string      `json:"account"`
	Name        string      `json:"name"`
	Region      string      `json:"region"`
	Application string      `json:"application"`
	Execution   string      `json:"execution"`
	Stage       string      `json:"stage"`
	Version     string      `json:"version"`
	At          time.Time   `json:"at"`
	Position    int64       `json:"position"` // of the stage's end in the event log; 0 when it was found without the log

	// Of clusters. Coexist says that versions before it keep their traffic (strategy none).
	ServerGroup string            `json:"serverGroup,omitempty"`
	Coexist     bool              `json:"coexist,omitempty"`
	Capacity    pipeline.Capacity `json:"capacity,omitzero"`
	// Of websites. Prefix and Archive name the part of the site.
	Deployment string `json:"deployment,omitempty"`
	Prefix     string `json:"prefix,omitempty"`
	Archive    string `json:"archive,omitempty"`
}

const deployedRecords = "deployed"

// key is the record's: one for each cluster or part of a site, in each region.
func (d Deployed) key() string {
	part := sha256.Sum256([]byte(d.Prefix + "\x00" + d.Archive))
	return strings.Join([]string{string(d.Kind), d.Account, d.Name, d.Region, hex.EncodeToString(part[:6])}, "/")
}

// after says whether d was put into traffic after other.
func (d Deployed) after(other Deployed) bool {
	if d.Position != other.Position {
		return d.Position > other.Position
	}
	return d.At.After(other.At)
}

// places are the kinds of stages that put something into traffic.
var places = map[string]bool{"deploy": true, "deploy-site": true, "rollback": true}

// deployedBy reads what a stage that has ended put into traffic, by its outputs: one
// that failed and was undone has none of these.
func deployedBy(e execution.Execution, st execution.StageState, position int64) []Deployed {
	if !places[st.Kind] || !st.Status.Complete() || len(st.Outputs) == 0 {
		return nil
	}
	raw, err := json.Marshal(st.Outputs)
	var out struct {
		Account, Cluster, Site, Version, Strategy, Deployment, Prefix, Archive string
		ServerGroups                                                           map[string]string
		Capacity                                                               map[string]pipeline.Capacity
		Regions                                                                []string
	}
	if err != nil || json.Unmarshal(raw, &out) != nil {
		return nil
	}
	base := Deployed{Account: cmp.Or(out.Account, DefaultAccount), Application: e.Application, Execution: e.ID, Stage: st.Name, Version: out.Version, Position: position}
	if st.Ended != nil {
		base.At = *st.Ended
	}
	var list []Deployed
	if out.Deployment != "" {
		site, prefix, archive := out.Site, out.Prefix, out.Archive
		if site == "" { // put out by an earlier version of this program
			site, prefix, archive = siteOf(e, st)
		}
		for _, region := range out.Regions {
			d := base
			d.Kind, d.Name, d.Region, d.Deployment, d.Prefix, d.Archive = KindSite, site, region, out.Deployment, prefix, archive
			list = append(list, d)
		}
		return list
	}
	if out.Cluster == "" {
		return nil
	}
	for region, group := range out.ServerGroups {
		d := base
		d.Kind, d.Name, d.Region, d.ServerGroup, d.Coexist, d.Capacity = KindCluster, out.Cluster, region, group, out.Strategy == "none", out.Capacity[region]
		list = append(list, d)
	}
	return list
}

// siteOf is the part of a site that a stage is about, as its definition has it.
func siteOf(e execution.Execution, st execution.StageState) (site, prefix, archive string) {
	if e.Definition == nil {
		return "", "", ""
	}
	for _, def := range e.Definition.Stages {
		var with struct{ Site, Prefix, Archive string }
		if def.Name == st.Name && json.Unmarshal(def.With, &with) == nil {
			return with.Site, with.Prefix, with.Archive
		}
	}
	return "", "", ""
}

// putDeployed keeps d, unless something that was put into traffic later is there.
func (s *Service) putDeployed(ctx context.Context, d Deployed) error {
	data, err := json.Marshal(d)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "deployed", "encoding %s %s", d.Kind, d.Name)
	}
	for {
		old, err := s.Records.GetRecord(ctx, deployedRecords, d.key())
		if err != nil && problem.CodeOf(err) != problem.NotFound {
			return err
		}
		if err == nil {
			var have Deployed
			if json.Unmarshal(old.Data, &have) == nil && !d.after(have) {
				return nil
			}
		}
		_, err = s.Records.PutRecord(ctx, record.Record{Collection: deployedRecords, Key: d.key(), Version: old.Version, Data: data})
		if problem.CodeOf(err) != problem.Conflict {
			return err
		}
	}
}

// deployed lists what was last put into traffic, by kind, account, name and region.
func (s *Service) deployed(ctx context.Context, kind SubjectKind, account, name string) ([]Deployed, error) {
	prefix := string(kind) + "/"
	if account != "" {
		prefix += account + "/"
		if name != "" {
			prefix += name + "/"
		}
	}
	var list []Deployed
	const page = 500
	for after := ""; ; {
		recs, err := s.Records.ListRecords(ctx, deployedRecords, prefix, after, page)
		if err != nil {
			return nil, problem.Wrap(err, "", "deployed", "listing what was deployed")
		}
		for _, r := range recs {
			after = r.Key
			var d Deployed
			if err := json.Unmarshal(r.Data, &d); err != nil {
				return nil, problem.Wrap(err, problem.Internal, "deployed", "the record %s cannot be read", r.Key)
			}
			if name == "" || d.Name == name {
				list = append(list, d)
			}
		}
		if len(recs) < page {
			return list, nil
		}
	}
}

// forgetDeployed removes what was last put into traffic, where choose says so.
func (s *Service) forgetDeployed(ctx context.Context, kind SubjectKind, account, name string, choose func(Deployed) bool) ([]string, error) {
	list, err := s.deployed(ctx, kind, cmp.Or(account, DefaultAccount), name)
	if err != nil {
		return nil, err
	}
	var done []string
	for _, d := range list {
		if !choose(d) {
			continue
		}
		r, err := s.Records.GetRecord(ctx, deployedRecords, d.key())
		if err == nil {
			err = s.Records.DeleteRecord(ctx, deployedRecords, d.key(), r.Version)
		}
		if err != nil && problem.CodeOf(err) != problem.NotFound {
			return done, err
		}
		done = append(done, fmt.Sprintf("%s: %s (%s) is not expected any more", d.Region, cmp.Or(d.ServerGroup, d.Deployment), d.Version))
	}
	return done, nil
}
