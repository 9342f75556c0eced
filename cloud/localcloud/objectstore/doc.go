// Package objectstore is a region's object storage: an S3 endpoint on loopback
// (versitygw over a folder), the credentials for it, and the few
// operations by which the region itself places and reads objects. It owns no wire
// protocol, and refuses to know deployments (package sites).
//
// At most one Store can be open in a process: the gateway underneath works
// relative to the process's working folder, which Open changes, and keeps
// package-level state. A region is a process of its own, so that costs nothing.
package objectstore
