// Package localcloud is the cloud that comes with the binary: the process that
// is one region, and the client through which the control plane drives several.
//
// A region composes three parts that know nothing of each other: its fleet
// (package fleet), its object storage with the websites on it (packages
// objectstore and sites), and the load balancer whose listener is the region's
// load balancer. It is controlled over a unix socket by HTTP and JSON. Everything
// a region knows is in its folder: one that is killed and started again goes
// on where it was.
package localcloud
