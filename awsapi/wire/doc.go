// Package wire speaks the protocols of AWS's services: query, ec2, JSON 1.0 and
// 1.1, rest-json and rpc-v2-cbor. It owns which operation a request asks for, how
// the request becomes a Go value, how an answer or an error becomes bytes, and
// the checks that AWS's models state (required members, lengths, patterns). The
// models in the folder apis drive all of it; no service is known here by name,
// except where AWS's own model is incomplete (model.go).
//
// It refuses to know who may call (package signature), what an operation does
// (the packages of the services), and S3, whose protocol a region's object
// storage speaks itself.
package wire
