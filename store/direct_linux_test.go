package store

// spoil has the system refuse the next write as a file system does that wants
// other addresses.
func spoil(d *directFile) { d.image = append(make([]byte, 1), d.image...)[1:] }
