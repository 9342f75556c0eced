// Package ec2 serves AWS's Elastic Compute Cloud over the regions' real server
// groups: an instance is a process, an image is an artifact with its command, an
// availability zone is a zone of the region.
//
// It owns the instances that are run by themselves (each a server group of at most
// one), launch templates, images, tags, and what clients write around instances:
// VPCs, subnets, security groups, key pairs and the like, which are kept and
// returned. No packet is filtered by them. It refuses to know Auto Scaling groups,
// whose instances it shows and ends like every other.
package ec2
