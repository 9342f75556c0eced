package driver

import (
	"context"
)

// Sites is the ability to host websites from object storage.
type Sites interface {
	// Publish makes the artifact the site's content in the region: only objects whose content differs
	// travel, assets before documents before deletions. The same key returns the same deployment.
	Publish(ctx context.Context, region string, req PublishRequest, key string, progress func(done, total int)) (SiteDeployment, error)
	// SiteDeployments lists what the site has been, newest first; the first that is Current serves.
	SiteDeployments(ctx context.Context, region, site string) ([]SiteDeployment, error)
	// Activate returns the site to an earlier deployment without its artifact travelling again.
	Activate(ctx context.Context, region, site, deployment, key string) (SiteDeployment, error)
	Addresses
}

// SiteReverter is the ability to undo one deployment and nothing newer.
type SiteReverter interface {
	// Revert returns the site to what was live before the deployment, if the deployment is still
	// what is live; when something else is live by now, nothing happens. It returns what is live
	// afterwards. A deployment that replaced nothing stays, and is returned.
	Revert(ctx context.Context, region, site, deployment, key string) (SiteDeployment, error)
}

// SitePreparer is the ability to have everything that a deployment needs in a region
// before any region goes over to it: then nobody who got the new page in one region misses
// what it refers to in another.
type SitePreparer interface {
	// PrepareSite copies in what Publish with the same request and key will need, and changes
	// nothing that visitors see but that the new page's assets can be had.
	PrepareSite(ctx context.Context, region string, req PublishRequest, key string, progress func(done, total int)) error
}

// SiteProber is the ability to ask a region's load balancer for the site.
type SiteProber interface {
	// ProbeSite answers nil when visitors of the region get the index of the deployment with
	// status 200. The error says what they get instead.
	ProbeSite(ctx context.Context, region string, d SiteDeployment) error
}

// SiteLister is the ability to list a region's sites.
type SiteLister interface {
	ListSites(ctx context.Context, region string) ([]Site, error)
}

// SiteWatcher is the ability to tell what was changed by hand.
type SiteWatcher interface {
	// SiteChanges lists the objects of what is live that are not as they were placed. Errors: not_found.
	SiteChanges(ctx context.Context, region, site string) ([]SiteChange, error)
}
