// Package objectstore is a region's object storage: an S3 endpoint on loopback
// (versitygw over a folder), its credentials, and the few operations by which the
// region itself places and reads objects. It implements no wire protocol itself,
// and refuses to know deployments (package sites).
//
// Only one Store can be open in a process: the gateway works relative to the
// process's working folder, which Open changes, and keeps package-level state.
// This is no restriction, since every region is a process of its own.
package objectstore
