// Package autoscaling serves AWS's Auto Scaling over the regions' server groups: an
// Auto Scaling group is one server group, which the region keeps at its capacity,
// heals and scales whether the control plane runs or not.
//
// It owns the records of groups, launch configurations, policies, hooks, scheduled
// actions and activities, and the list of what is still to be asked of the region:
// each change is recorded with what it asks for before anything is asked, and carried
// out again after a crash by the same key. It refuses to know how instances run
// (package ec2 makes the specification) and where requests go (package elbv2).
package autoscaling
