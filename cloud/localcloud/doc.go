// Package localcloud is the cloud that is part of the binary: the process of one
// region, and the client through which the control plane drives several regions.
//
// A region has four parts that do not know each other: its fleet (package
// fleet), its functions (package function), its object storage with the websites on
// it (packages objectstore and sites), and its load balancer. It is controlled over a unix socket by HTTP and
// JSON. Its folder holds its whole state: a region that is killed and started
// again continues from there.
package localcloud
