package driver

import (
	"showrunner/artifact"
	"showrunner/pipeline"
)

// PublishRequest is one site deployment.
type PublishRequest struct {
	Config    pipeline.DeploySite `json:"config"`
	Artifact  artifact.Ref        `json:"artifact"`
	Version   string              `json:"version"` // what people call it: a commit
	Execution string              `json:"execution,omitempty"`
	// Order fences: a publish whose order is below that of the content that is live is refused
	// with conflict, so that a slow older deployment never overwrites a newer one, and regions
	// agree on which is newer. Zero is the order of arrival.
	Order int64 `json:"order,omitempty"`
}

// SiteDeployment is one content that a site has, or had, in one region.
type SiteDeployment struct {
	ID        string       `json:"id"`
	Site      string       `json:"site"`
	Region    string       `json:"region"`
	Artifact  artifact.Ref `json:"artifact"`
	Version   string       `json:"version"`
	Execution string       `json:"execution,omitempty"`
	Prefix    string       `json:"prefix,omitempty"`   // the part of the site that it is
	Archive   string       `json:"archive,omitempty"`  // the name of the one file that it is, below Prefix
	Document  string       `json:"document,omitempty"` // the key of its index document; "" when it has none
	Nested    string       `json:"nested,omitempty"`   // without Document: the key of the folder's index document that is nearest to the root
	At        string       `json:"at"`                 // RFC 3339
	Current   bool         `json:"current"`
	Previous  string       `json:"previous,omitempty"` // with Current, in a list: the deployment that a rollback returns to
	Uploaded  int          `json:"uploaded"`
	Unchanged int          `json:"unchanged"`
	Deleted   int          `json:"deleted"`
	Bytes     int64        `json:"bytes"` // that travelled
}

// SiteChange is one object that a deployment placed and somebody has changed since.
type SiteChange struct {
	Key        string `json:"key"`
	Deployment string `json:"deployment"` // that placed it
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
