// Package acceptance holds the tests that use Showrunner as people do: the built
// binary, its command line, real processes, real traffic, real kills.
// SHOWRUNNER_ACCEPTANCE=full runs them at the promised sizes; without it they run
// small.
package acceptance
