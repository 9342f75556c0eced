// Package bench holds the benchmarks, a module of their own so that the product
// does not depend on what they need. Four commands group them by purpose: peers
// (beside others that do the same work), load (users' requests during deployments
// and failures), durability (random kills) and scale (many things).
// Packages world, local and command are what they share.
package bench
