// Package rollout owns the strategies: how one version of a service replaces
// the next, region by region, wave by wave, and how it is put back.
//
// A strategy is a pure plan: Decide(spec, state, observed, now) looks at what
// the cloud says now and answers with the next few changes. It is asked again
// after every change and after every restart, so nothing is lost when the
// process that carries it out dies: each change has an idempotency key, and a
// change made twice has one effect.
//
// Two promises hold at every reachable moment, in every region:
//   - traffic goes to a new version only once enough of its instances serve;
//   - nothing of the old version is shrunk or destroyed before the last wave
//     has baked, by the plan or by scaling, so undoing is always a shift of
//     weights away.
//
// Then the rollout has ended. What it replaced is cleaned up by whoever keeps its
// Leftovers, which decide anew at every look what becomes of each group.
//
// A rollout does not fight: when somebody else changes the traffic meanwhile, it
// stops, is undone, and leaves what they put there.
//
// The traffic guard that backs the first promise is checked by the driver
// inside the change itself, against fresh state; here it is only computed.
package rollout
