// Package gameday rehearses what a service has to live through: for a chosen time it
// keeps requests coming, delivers new versions, ends instances, and takes a zone and a
// region away, and then reports what users noticed. It owns the plan, which a seed
// repeats, the measuring, and the report. What is done to the system is done by an
// Environment, through control; this package knows no cloud and no face.
package gameday
