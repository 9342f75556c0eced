package localcloud

import "showrunner/cloud/localcloud/internal/stress"

// RunHelper makes this process the program of a fault that uses things up, when its
// environment asks for that; it returns at once otherwise. A program whose path is a
// RegionConfig's Helper calls it before anything else.
func RunHelper() { stress.Main() }
