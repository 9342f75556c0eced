package ecs

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"time"

	"showrunner/artifact"
	"showrunner/awsapi/carry"
	"showrunner/awsapi/wire"
	"showrunner/pipeline"
)

type object = wire.Object

const (
	active   = "ACTIVE"
	inactive = "INACTIVE"
	draining = "DRAINING"

	inProgress = "IN_PROGRESS"
	completed  = "COMPLETED"
	failed     = "FAILED"
)

// cluster is a cluster of ECS: a name for services.
type cluster struct {
	Name    string    `json:"name"`
	Status  string    `json:"status"`
	Created time.Time `json:"created"`
	Kept    object    `json:"kept,omitempty"` // members that are returned as they were given
	Tags    []object  `json:"tags,omitempty"`
}

// definition is one revision of a task definition.
type definition struct {
	Family       string    `json:"family"`
	Revision     int       `json:"revision"`
	Status       string    `json:"status"`
	Registered   time.Time `json:"registered"`
	Deregistered time.Time `json:"deregistered,omitzero"`
	By           string    `json:"by"`
	Data         object    `json:"data"` // as it was registered
	Tags         []object  `json:"tags,omitempty"`
}

// family counts the revisions of a task definition that there have been.
type family struct {
	Revisions int `json:"revisions"`
}

// service is a service of ECS.
type service struct {
	Name    string    `json:"name"`
	Cluster string    `json:"cluster"`        // of ECS
	Fleet   string    `json:"fleet"`          // the cluster of its server groups
	Status  string    `json:"status"`         // ACTIVE, DRAINING, INACTIVE
	Created time.Time `json:"created"`        // tells it from an earlier one of its name
	Ended   time.Time `json:"ended,omitzero"` // when it became INACTIVE
	By      string    `json:"by"`
	Token   string    `json:"token,omitempty"`
	Request string    `json:"request,omitempty"` // digest of what the token was sent with

	Definition string   `json:"definition"` // FAMILY:REVISION of the primary deployment
	Desired    int      `json:"desired"`
	Least      int      `json:"least"` // minimumHealthyPercent
	Most       int      `json:"most"`  // maximumPercent
	Breaker    bool     `json:"breaker,omitempty"`
	Rollback   bool     `json:"rollback,omitempty"`
	Kept       object   `json:"kept,omitempty"` // members that are returned as they were given
	Tags       []object `json:"tags,omitempty"`

	Deployments []deployment        `json:"deployments"`       // the primary first, then the others
	History     []serviceDeployment `json:"history,omitempty"` // the newest first
	Events      []event             `json:"events,omitempty"`  // the newest first
	Tasks       []string            `json:"tasks,omitempty"`   // instances that an event has told of
	Steady      bool                `json:"steady,omitempty"`  // an event has said so
	Stuck       bool                `json:"stuck,omitempty"`   // an event has said that its bounds allow no step

	Untold  []string `json:"untold,omitempty"`  // target groups whose load balancers have still to look at it
	Pending []action `json:"pending,omitempty"` // to be asked of the region, in this order
	Actions int      `json:"actions"`           // that there have been: each has a number
}

// deployment is what a service ran, runs or is to run, as one server group.
type deployment struct {
	ID         string    `json:"id"`
	Definition string    `json:"definition"`
	Launch     launch    `json:"launch"`
	Created    time.Time `json:"created"`
	Updated    time.Time `json:"updated"`
	State      string    `json:"state"` // IN_PROGRESS, COMPLETED, FAILED
	Reason     string    `json:"reason"`
	Asked      int       `json:"asked"`            // how many tasks the region was asked for last
	Making     bool      `json:"making,omitempty"` // its server group was asked for
	Group      string    `json:"group,omitempty"`  // its server group
	Ending     bool      `json:"ending,omitempty"` // its server group was asked to go
	Serving    int       `json:"serving"`          // how many tasks served when it was looked at last
	Forgiven   int       `json:"forgiven"`         // failures before the last task that began to serve
	Failed     int       `json:"failed"`           // failures in a row since
}

// launch is what a task runs, as it was when its deployment began.
type launch struct {
	Artifact artifact.Ref      `json:"artifact"`
	Command  []string          `json:"command"`
	Health   pipeline.Health   `json:"health"`
	Env      map[string]string `json:"env,omitempty"`
	Memory   int               `json:"memory,omitempty"` // MiB that a task may use; 0: no limit
	Zones    []string          `json:"zones,omitempty"`
	Log      *logTo            `json:"log,omitempty"`
}

// event is what has happened to a service, in AWS's words.
type event struct {
	ID      string    `json:"id"`
	At      time.Time `json:"at"`
	Message string    `json:"message"`
}

// eventsKept is how many events of a service are described, as at AWS.
const eventsKept = 100

func (s *service) say(now time.Time, format string, args ...any) {
	e := event{carry.NewUUID(), now.UTC(), fmt.Sprintf("(service %s) ", s.Name) + fmt.Sprintf(format, args...)}
	s.Events = append([]event{e}, s.Events[:min(len(s.Events), eventsKept-1)]...)
}

// action is one thing that is to be asked of the region.
type action struct {
	Number     int    `json:"number"`
	Do         string `json:"do"` // create, resize, destroy
	Deployment string `json:"deployment"`
	Count      int    `json:"count"`
}

// ask adds an action to what is to be asked of the region.
func (s *service) ask(do string, d *deployment, count int) {
	s.Actions++
	s.Pending = append(s.Pending, action{s.Actions, do, d.ID, count})
	d.Asked = count
}

// key is the idempotency key of an action.
func (s *service) key(a action) string {
	return fmt.Sprintf("aws.ecs/%s/%d/%d/%s", s.Fleet, s.Created.UnixNano(), a.Number, a.Do)
}

// find is a deployment by its identifier, nil when there is none.
func (s *service) find(id string) *deployment {
	for n := range s.Deployments {
		if s.Deployments[n].ID == id {
			return &s.Deployments[n]
		}
	}
	return nil
}

// deploy begins a deployment, which becomes the primary one.
func (s *service) deploy(name string, l launch, now time.Time) {
	d := deployment{ID: newDeploymentID(), Definition: name, Launch: l, Created: now.UTC(), Updated: now.UTC()}
	d.State, d.Reason = inProgress, "ECS deployment "+d.ID+" in progress."
	s.Deployments = append([]deployment{d}, s.Deployments...)
	s.Definition, s.Steady = name, false
	s.record(now)
}

// newDeploymentID is a deployment's identifier: 19 digits.
func newDeploymentID() string {
	n, err := rand.Int(rand.Reader, big.NewInt(9e18))
	if err != nil {
		n = big.NewInt(0) // not reached: it never fails
	}
	return fmt.Sprintf("ecs-svc/%019d", n)
}
