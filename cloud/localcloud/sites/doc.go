// Package sites hosts websites in one region: it owns what each site has been
// and is (deployments), how a site goes from one to the next, and how visitors
// are answered. The objects themselves are the bucket's of that name (package
// objectstore); it refuses to know pipelines, and any other region.
//
// # How a site changes
//
// A deployment is an index: key → object, immutable, named by its content. To
// publish, objects that the region does not have are copied in; the bucket is
// brought up to date, assets before documents; the live index is replaced in
// one durable step; keys that are gone leave the bucket last. Visitors are
// answered from the live index and the immutable objects it names, never from
// a bucket half way, so that a page and what it refers to are of one
// deployment. A crash at any point leaves the old index live or the new one;
// the bucket is put right by the next start, or by the same publish asked again.
//
// Somebody who holds a page of an earlier deployment may still ask for what it
// refers to. Page assets (scripts, styles, images, fonts) of the deployments
// kept for rollback are therefore answered although the bucket no longer has
// them: those with a content hash in their name as long as the deployment is
// kept, the others for Grace after it was replaced. Documents and downloads
// are gone the moment they are gone.
//
// A deployment removes only what an earlier one placed. Objects that S3
// clients put, replace or delete are theirs: the key is answered from the
// bucket until a deployment places it again.
package sites
