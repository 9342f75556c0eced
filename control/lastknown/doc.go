// Package lastknown answers reads while the database is unreachable, or too slow, with
// what was read last, and says how old that is. It stands between the operations and the engine
// with its records; the engine itself never decides on anything old. Writes are
// refused at once while it is unreachable, with when to try again. It refuses to guess: what was not read
// before the database went is unavailable.
package lastknown
