// Package deploy is the family of stage kinds that change a cloud: deploy-site,
// deploy and rollback. Each observes, changes a little, and writes down where it
// is, so that it goes on after any death of the process. What to change is
// decided by package rollout (services) and by the regions' own index (sites).
package deploy
