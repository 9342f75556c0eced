// Package bench holds the benchmarks. It is a module of its own, so that the
// product does not depend on their dependencies. Four commands group them by
// purpose: peers (comparison with other programs), load (users' requests during
// deployments and failures), durability (random kills) and scale (large numbers).
// Packages environment, local and command are shared.
package bench
