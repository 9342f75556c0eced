// Package cloudtest is the conformance suite of cloud drivers: what package
// cloud/driver promises, asked of a driver that runs a small server program, and
// held against the facts that the driver states. It knows no driver.
// cloud/cloudtest/memcloud is the smallest driver that passes;
// cloud/cloudtest/coarsecloud can do little, and that late.
package cloudtest
