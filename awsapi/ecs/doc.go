// Package ecs serves AWS's Elastic Container Service over the regions' real server
// groups: a service is a cluster of server groups, one for each deployment, a task is
// an instance, and a container image is the artifact that stands for it.
//
// It owns the records of clusters, task definitions and services, and the rolling
// update: how many tasks each deployment has, when it has completed, and when the
// circuit breaker undoes it. What is asked of a region is recorded before and asked
// for again after a crash. It refuses to know how tasks are kept running (the region
// replaces them) and tasks that end by themselves without a service (RunTask).
package ecs
