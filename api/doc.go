// Package api is the HTTP face of package control: JSON under /api/v1, described
// by OpenAPI 3.1 at /openapi.json, problems as RFC 9457, one resumable event
// stream. The command line and the pages use nothing else.
package api
