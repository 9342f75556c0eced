// Package artifact owns what stages hand to one another: immutable trees of
// files, addressed by content, with a record of where each tree came from. It
// refuses to know which code makes or uses artifacts.
package artifact
