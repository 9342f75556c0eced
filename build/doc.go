// Package build owns the running of a buildspec: one shell for all commands,
// the phases and their failure rules, artifacts, cache and reports, on this
// machine's processes or in a container. It refuses to know about pipelines
// and executions (package stage/build) and about the language (build/buildspec).
//
// # One shell
//
// All commands of a build run in one shell, so that cd, export, functions and
// background processes last. The shell reads its program from a pipe; each
// command is a file that it sources. It says on its own output, in the right
// order, what a command's exit code was. When a command ends the shell (exit,
// exec, a signal, set -e), a new one takes over with the variables, functions,
// options and folder of the last, so that finally and later phases find what
// they expect.
//
// # Choices where the published rules leave one
//
//   - on-failure CONTINUE runs the next phase; the build still ends as FAILED.
//   - ABORT ends the build at once: no POST_BUILD, no UPLOAD_ARTIFACTS.
//   - RETRY repeats the phase, its finally included; when no try is left, the
//     build goes on as if on-failure were not there. A regular expression is
//     matched against the failure's message and the command's last output.
//   - After a failed POST_BUILD, as after a failed BUILD, artifacts are collected.
//   - Without env.shell commands run in bash where it is there, else in /bin/sh.
//   - A file pattern that matches nothing is passed over with a line in the log;
//     when all of them match nothing, UPLOAD_ARTIFACTS fails.
//   - A pattern that names a folder stands for all it holds. The folder .git
//     belongs to an artifact only when a pattern names it.
//   - Links are stored as what they point to unless enable-symlinks is set;
//     links to folders are then passed over with a line in the log.
//
// The process runner keeps builds apart and cleans up after them; it is no
// security boundary: a build can do what the user it runs as can do.
package build
