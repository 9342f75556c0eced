//go:build !unix

package balancer

// ended cannot be known here: that a client has left shows when it is answered.
func ended(uintptr) bool { return false }
