//go:build !linux

package server

import "syscall"

// childAttributes put a child in a process group of its own, which keeps a
// terminal's Ctrl-C away from it. These systems cannot end a child together
// with a killed parent.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitEnd does nothing: these systems have no way to wait without taking the
// process's number away. Its group is asked to end while it may still run.
func awaitEnd(int) {}
