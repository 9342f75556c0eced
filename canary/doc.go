// Package canary judges metrics of a canary beside those of a baseline over a window of
// time: it asks a source of metrics for both sides (measure.go), puts the points on one
// grid, has them judged (judge.go, which is pure), and says what that means: pass, fail,
// or go on. It refuses to know rollouts: who asks says which groups are compared, and
// when. Without data nothing passes.
package canary
