// Package rollout owns the strategies: how a new version of a service replaces
// the old one, region by region and wave by wave, and how a failed rollout is
// undone.
//
// A strategy is a pure plan: Decide(spec, state, observed, now) takes the present
// state of the cloud and returns the next few changes. It is called again after
// every change and after every restart, so nothing is lost when the process that
// carries out the plan dies: each change has an idempotency key, and a change
// made twice has one effect.
//
// Two promises hold at every reachable moment, in every region:
//   - traffic goes to a new version only once enough of its instances serve;
//   - nothing of the old version is shrunk or destroyed before the last wave
//     has baked, by the plan or by scaling, so undoing is always a shift of
//     weights away.
//
// After the last bake the rollout has ended. The caller stores its Leftovers and
// cleans up the replaced groups later; the action on each group is decided anew
// from the present state of the cloud.
//
// A rollout does not fight with other writers: when a person or another rollout
// changes the traffic meanwhile, this rollout stops, is undone, and keeps the
// others' changes.
//
// The traffic guard that backs the first promise is checked by the driver
// inside the change itself, against fresh state; here it is only computed.
package rollout
