// Package function runs the code of functions in one region. It owns their
// environments: real processes that ask the Lambda Runtime API for work, one request
// at a time, which are started when there is none that is free, stay warm, and end
// when nobody has needed them for a while. It owns timeouts, the memory limit,
// concurrency, and what of a function's output belongs to which request.
//
// It keeps nothing: each request says which code it is for. So a region that is
// killed loses no more than the requests that were under way; its environments end
// with it. It refuses to know versions, aliases and event sources, which are the
// control plane's.
//
// Source: AWS Lambda Developer Guide, "Lambda runtime API for custom runtimes".
package function
