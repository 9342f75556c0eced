// Package lambda serves AWS Lambda. It owns functions with their versions, aliases,
// policies and addresses, the queue of requests that nobody waits for, and the reading of
// streams that feed functions. The code runs in the regions, as real processes that the
// cloud's account is asked for; what functions write is in CloudWatch Logs.
//
// A function is one document. The values of its environment variables are in the secret
// store, its code is an artifact. A request that was accepted and not yet carried out is
// a document too, and so is how far a stream has been read.
//
// It refuses container images, runtimes that the region's machine does not have, file
// systems, SnapStart, and dead letter queues in services that are not served.
//
// Source: AWS Lambda API Reference and Developer Guide.
package lambda
