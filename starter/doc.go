// Package starter owns the first pipeline file of a project: it looks at what is
// in a folder (a Node or Go service, a website) and writes a showrunner.yaml that
// delivers it. It reads a file system that it is given and writes nothing; it
// refuses to know how the file is applied.
package starter
