//go:build !linux

package store

// directFile is of Linux alone.
type directFile struct{}

func openDirect(string, int, []byte) *directFile { return nil }

func (*directFile) writeAt([]byte, int64) error { return nil }

func (*directFile) close() {}
