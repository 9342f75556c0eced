package driver

import (
	"showrunner/artifact"
	"showrunner/pipeline"
)

// PublishRequest is one site deployment.
type PublishRequest struct {
	Config    pipeline.DeploySite `json:"config"`
	Artifact  artifact.Ref        `json:"artifact"`
	Version   string              `json:"version"` // the version for people, such as a commit
	Execution string              `json:"execution,omitempty"`
	// Order prevents an older deployment from overwriting a newer one: a publish
	// with a lower order than the live content is refused with conflict. So a
	// slow older deployment does no harm, and regions agree on which deployment
	// is newer. Zero is the order of arrival.
	Order int64 `json:"order,omitempty"`
}

// SiteDeployment is the content of a site at some time in one region.
type SiteDeployment struct {
	ID        string       `json:"id"`
	Site      string       `json:"site"`
	Region    string       `json:"region"`
	Artifact  artifact.Ref `json:"artifact"`
	Version   string       `json:"version"`
	Execution string       `json:"execution,omitempty"`
	Prefix    string       `json:"prefix,omitempty"`   // the part of the site that was deployed
	Archive   string       `json:"archive,omitempty"`  // the name of the single file, below Prefix
	Document  string       `json:"document,omitempty"` // the key of its index document; "" when there is none
	Nested    string       `json:"nested,omitempty"`   // without Document: the key of the nested index document closest to the root
	At        string       `json:"at"`                 // RFC 3339
	Current   bool         `json:"current"`
	Previous  string       `json:"previous,omitempty"` // with Current, in a list: the deployment that a rollback returns to
	Uploaded  int          `json:"uploaded"`
	Unchanged int          `json:"unchanged"`
	Deleted   int          `json:"deleted"`
	Bytes     int64        `json:"bytes"` // bytes copied
}

// SiteChange is one object of a deployment that was changed outside deployments.
type SiteChange struct {
	Key        string `json:"key"`
	Deployment string `json:"deployment"` // the deployment that placed the object
	Change     string `json:"change"`     // replaced or removed
}

// Site is a website as one region sees it.
type Site struct {
	Name    string           `json:"name"`
	Region  string           `json:"region"`
	URL     string           `json:"url"`
	Objects int              `json:"objects"`
	Current []SiteDeployment `json:"current"` // one for each part (prefix) of the site
}

// TerminateOptions refine Terminate.
type TerminateOptions struct {
	Kill      bool  `json:"kill,omitempty"`
	Decrement bool  `json:"decrement,omitempty"`
	Guard     Guard `json:"guard"`
}
