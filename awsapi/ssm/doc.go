// Package ssm serves the parameters of AWS Systems Manager. A parameter is a
// document with its versions; the values of secure strings are in the secret store
// of this control plane, encrypted at rest. It refuses everything else of Systems
// Manager, and to know who may read.
//
// Source: AWS Systems Manager API Reference, "Parameter Store".
package ssm
