// Package retention removes files that no kept record needs any more: artifacts,
// the logs of stages, and the folders of builds that have ended. The engine
// decides which executions are kept; retention then removes the files of the
// others.
package retention
