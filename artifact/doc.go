// Package artifact owns what stages hand to one another: immutable trees of
// files, addressed by content, with a record of where each came from. It
// refuses to know who makes or uses them.
package artifact
