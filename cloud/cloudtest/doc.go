// Package cloudtest is the conformance suite of cloud drivers: what package
// cloud/driver promises, asked of a driver that runs a small server program.
// It knows no driver. cloud/cloudtest/memcloud is the smallest one that passes.
package cloudtest
