package control

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/store/record"
)

// Drift is what runs of one cluster, or what a website serves, against what was last deployed.
type Drift struct {
	Cluster     string `json:"cluster,omitempty"`
	Site        string `json:"site,omitempty"`
	Account     string `json:"account"`
	Application string `json:"application"`
	// Execution is the execution that put it into traffic last, by deploying, rolling back or
	// repairing; empty when none is known any more.
	Execution string `json:"execution,omitempty"`
	Version   string `json:"version,omitempty"`
	// Busy is an execution that changes it at this moment: what differs may be its doing.
	Busy        string       `json:"busy,omitempty"`
	Differences []Difference `json:"differences"`
}

// DifferenceKind says in what way something differs.
type DifferenceKind string

const (
	DriftTraffic  DifferenceKind = "traffic"   // other versions than the one deployed have traffic
	DriftGone     DifferenceKind = "gone"      // the server group deployed is not there
	DriftCapacity DifferenceKind = "capacity"  // its capacity was changed
	DriftPaused   DifferenceKind = "suspended" // processes that keep it healthy are suspended
	DriftLeft     DifferenceKind = "left"      // a deployment that failed left a server group behind
	DriftUnknown  DifferenceKind = "unknown"   // the region cannot be asked
	DriftNewer    DifferenceKind = "newer"     // something else has traffic, and may be right: nothing is repaired
	// Of websites.
	DriftDeployment DifferenceKind = "deployment" // another deployment than the last is live
	DriftObjects    DifferenceKind = "objects"    // objects were replaced or removed by hand
)

// Difference is one thing that is not as it was deployed.
type Difference struct {
	Kind        DifferenceKind     `json:"kind"`
	Region      string             `json:"region"`
	ServerGroup string             `json:"serverGroup,omitempty"`
	Deployment  string             `json:"deployment,omitempty"` // of a website, the newest deployment
	Objects     []cloud.SiteChange `json:"objects,omitempty"`    // of DriftObjects
	Deployed    string             `json:"deployed"`
	Runs        string             `json:"runs"`
	// Repair says what a repair would do; empty when nothing but a person or a new run can.
	Repair string `json:"repair,omitempty"`
	Help   string `json:"help,omitempty"` // without Repair: what to do
	// Lost says of a website that the region serves nothing of it.
	Lost bool `json:"lost,omitempty"`

	group    cloud.ServerGroup
	capacity pipeline.Capacity
}

// Drift compares every cluster and website (of an application, or one by name)
// with what was last put into traffic. What should be there and is not comes
// first. Regions that are unreachable are told, not waited for. Errors:
// not_found (an unknown application), denied, unavailable.
func (s *Service) Drift(ctx context.Context, p Principal, account, application, cluster, site string) ([]Drift, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindCluster, Name: cluster, Application: application, Account: account}); err != nil {
		return nil, err
	}
	if err := s.readDeployed(ctx); err != nil && problem.CodeOf(err) != problem.Unavailable {
		return nil, err // while the database is unreachable, what is remembered has to do
	}
	restored, err := s.restoredAt(ctx)
	if err != nil {
		return nil, err
	}
	list := []Drift{}
	if site == "" {
		if list, err = s.clusterDrift(ctx, account, application, cluster, restored); err != nil {
			return nil, err
		}
	}
	if cluster == "" {
		sites, err := s.siteDrift(ctx, p, account, application, site, restored)
		if err != nil {
			return nil, err
		}
		list = append(list, sites...)
	}
	if application != "" && len(list) == 0 {
		if err := s.KnownApplication(ctx, application); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(list, func(x, y Drift) int { return cmp.Compare(x.rank(), y.rank()) })
	return list, nil
}

// rank orders what people have to see first: what is not there, then what differs.
func (d Drift) rank() int {
	rank := 2
	for _, x := range d.Differences {
		if x.Missing() {
			return 0
		}
		rank = 1
	}
	return rank
}

// Missing says that something which should be there is not, or cannot be asked.
func (x Difference) Missing() bool {
	return x.Kind == DriftGone || x.Kind == DriftUnknown || x.Kind == DriftDeployment && x.Lost
}

// restoredMark is the record that says when the state was last restored from a
// backup. What was put into traffic between the backup and then is not known.
const (
	controlRecords = "control"
	restoredMark   = "restored"
)

type restoration struct {
	At time.Time `json:"at"`
}

// Restored is the record to be kept by whatever restores the state from a backup,
// with the version of the one that is there.
func Restored(at time.Time, version int64) record.Record {
	data, err := json.Marshal(restoration{at.UTC()})
	if err != nil {
		panic(err) // a time always encodes
	}
	return record.Record{Collection: controlRecords, Key: restoredMark, Version: version, Data: data}
}

func (s *Service) restoredAt(ctx context.Context) (time.Time, error) {
	r, err := s.Records.GetRecord(ctx, controlRecords, restoredMark)
	if problem.CodeOf(err) == problem.NotFound {
		return time.Time{}, nil
	}
	var at restoration
	if err == nil {
		err = json.Unmarshal(r.Data, &at)
	}
	if err != nil {
		return time.Time{}, problem.Wrap(err, "", "drift", "reading when the state was restored")
	}
	return at.At, nil
}
