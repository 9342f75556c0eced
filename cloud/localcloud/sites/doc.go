// Package sites hosts websites in one region: it owns the deployments of each
// site, the change from one deployment to the next, and the answers to visitors.
// The objects themselves belong to the bucket of that name (package objectstore);
// it refuses to know pipelines, and any other region.
//
// # How a site changes
//
// A deployment is an index: key → object, immutable, named by its content. To
// publish, objects that the region does not have are copied in; the bucket is
// brought up to date, assets before documents; the live index is replaced in one
// durable step; keys that are gone leave the bucket last. Visitors are answered
// from the live index and the immutable objects it names, never from a
// half-changed bucket, so that a page and its assets are of one deployment. A
// crash at any point leaves the old or the new index live; the bucket is repaired
// by the next start, or by repeating the same publish.
//
// A visitor with a page of an earlier deployment may still request its assets.
// Page assets (scripts, styles, images, fonts) of the deployments kept for
// rollback are therefore served although the bucket no longer has them: assets
// with a content hash in their name as long as the deployment is kept, other
// assets for Grace after the deployment was replaced. Removed documents and
// downloads are not served any longer.
//
// A deployment removes only objects that an earlier deployment placed. Objects
// that S3 clients put, replace or delete belong to those clients: the key is
// answered from the bucket until a deployment places it again.
package sites
