package fleet

import (
	"showrunner/cloud/driver"
	"showrunner/pipeline"
)

// The requests between Client and Handler. Durations are nanoseconds.
type (
	createBody struct {
		Key  string                 `json:"key"`
		Spec driver.ServerGroupSpec `json:"spec"`
	}
	amendBody struct {
		Key  string                 `json:"key"`
		Spec driver.ServerGroupSpec `json:"spec"`
	}
	balancerBody struct {
		Key      string              `json:"key"`
		Balancer driver.LoadBalancer `json:"balancer"`
	}
	resizeBody struct {
		Key      string            `json:"key"`
		Capacity pipeline.Capacity `json:"capacity"`
		Guard    driver.Guard      `json:"guard"`
	}
	weightsBody struct {
		Key     string             `json:"key"`
		Weights map[string]float64 `json:"weights"`
		Guard   driver.Guard       `json:"guard"`
	}
	destroyBody struct {
		Key   string       `json:"key"`
		Guard driver.Guard `json:"guard"`
	}
	terminateBody struct {
		Key     string                  `json:"key"`
		Options driver.TerminateOptions `json:"options"`
	}
	hookBody struct {
		Key    string            `json:"key"`
		Answer driver.HookAnswer `json:"answer"`
	}
	switchBody struct { // for standby, protection, health and zone outage
		Key string `json:"key"`
		On  bool   `json:"on"`
	}
	faultBody struct {
		Key   string       `json:"key"`
		Fault driver.Fault `json:"fault"`
	}
	processesBody struct {
		Key       string   `json:"key"`
		Processes []string `json:"processes"`
	}
)
