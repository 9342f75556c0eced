// Package rawio reads and writes descriptors that do not block. On Linux the
// runtime is not told: a call that comes back at once needs nobody to take its
// processor over meanwhile, and offering it costs more than the call itself when
// the machine is full.
package rawio
