// Package cloudtest is the conformance suite of cloud drivers. It tests the
// promises of package cloud/driver with a driver that runs a small server
// program, and compares the driver with the facts that it states. It knows no
// driver. cloud/cloudtest/memcloud is the smallest driver that passes;
// cloud/cloudtest/coarsecloud has few abilities and answers late.
package cloudtest
