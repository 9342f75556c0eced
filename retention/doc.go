// Package retention removes the files that nothing which is kept needs any more:
// artifacts, the logs of stages, and the folders of builds that have ended. What
// executions are kept, the engine decides; the files follow.
package retention
