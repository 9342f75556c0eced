// Package elbv2 serves AWS's Elastic Load Balancing, version 2, over the regions' load
// balancers: an Application Load Balancer is a host of its region, whose rules forward
// to pools of real instances, answer or redirect.
//
// It owns the records of load balancers with their listeners and rules, and of target
// groups; the region is told what a load balancer is after the record has changed, and
// again after a crash. It refuses to know how instances are checked: a target's health
// is its instance's. Load balancers of other types are refused by name.
package elbv2
