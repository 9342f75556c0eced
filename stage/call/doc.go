// Package call is the stage kind pipeline: it starts another pipeline and takes
// its outcome. The engine owns the bond between the two: it wakes the stage when
// the other execution ends, and cancels that when the stage is canceled.
package call
