// Package deploy is the family of stage kinds that change a cloud: deploy-site,
// deploy and rollback. Each observes, changes a little, and writes down where it
// is, so that it goes on after any death of the process. What to change is
// decided by package rollout (services) and by the regions' own index (sites).
// What a service's rollout has replaced is cleaned up afterwards by a Cleaner, from
// records that outlive the stage.
package deploy
