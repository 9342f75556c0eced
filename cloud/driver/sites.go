package driver

import (
	"context"
)

// Sites is the ability to host websites from object storage.
type Sites interface {
	// Publish makes the artifact the site's content in the region. It copies only
	// objects whose content differs: assets first, then documents, then it
	// deletes. The same key returns the same deployment.
	Publish(ctx context.Context, region string, req PublishRequest, key string, progress func(done, total int)) (SiteDeployment, error)
	// SiteDeployments lists the site's deployments, newest first; the first
	// Current one is live.
	SiteDeployments(ctx context.Context, region, site string) ([]SiteDeployment, error)
	// Activate returns the site to an earlier deployment without copying its
	// artifact again.
	Activate(ctx context.Context, region, site, deployment, key string) (SiteDeployment, error)
	Addresses
}

// SiteReverter is the ability to undo one deployment without undoing a newer one.
type SiteReverter interface {
	// Revert returns the site to its content from before the deployment, if that
	// deployment is still live. When another deployment is live by now, Revert
	// changes nothing. It returns the deployment that is live afterwards. A
	// deployment that replaced nothing stays, and is returned.
	Revert(ctx context.Context, region, site, deployment, key string) (SiteDeployment, error)
}

// SitePreparer is the ability to copy all files of a deployment to a region
// before any region switches to it. A visitor who got the new page in one region
// then finds its assets in every other region.
type SitePreparer interface {
	// PrepareSite copies the files that Publish with the same request and key
	// will need. Visitors see no change, except that the assets of the new page
	// are already available.
	PrepareSite(ctx context.Context, region string, req PublishRequest, key string, progress func(done, total int)) error
}

// SiteProber is the ability to request the site from a region's load balancer.
type SiteProber interface {
	// ProbeSite returns nil when visitors of the region get the index of the
	// deployment with status 200. The error describes what they get instead.
	ProbeSite(ctx context.Context, region string, d SiteDeployment) error
}

// SiteLister is the ability to list a region's sites.
type SiteLister interface {
	ListSites(ctx context.Context, region string) ([]Site, error)
}

// SiteWatcher is the ability to find objects that were changed by hand.
type SiteWatcher interface {
	// SiteChanges lists the live objects that differ from their deployment.
	// Errors: not_found.
	SiteChanges(ctx context.Context, region, site string) ([]SiteChange, error)
}
