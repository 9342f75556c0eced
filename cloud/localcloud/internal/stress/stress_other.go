//go:build !linux

package stress

import "fmt"

// Refused says why this system cannot do it: a program that is killed with its region
// could outlive it here.
func Refused(kind Kind, _ float64, _ int, _ string) string {
	return fmt.Sprintf("faults of the kind %s need Linux", kind)
}

func fill(int64) error { return fmt.Errorf("filling a disk needs Linux") }
