// Package deploy is the family of stage kinds that change a cloud: deploy-site,
// deploy and rollback. Each observes, makes a small change, and saves its state,
// so that it continues after any death of the process. Package rollout decides
// the changes for services, and the regions' own index those for sites. The
// groups that a service's rollout has replaced are cleaned up afterwards by a
// Cleaner, from records that outlive the stage.
package deploy
