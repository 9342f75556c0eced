// Package engine measures durable task transitions: executions of five stages
// with two tasks each that do nothing, every transition on disk before the next
// one starts. It prints throughput and latency with one and with many
// executions in flight beside the latency of one fdatasync of the same disk,
// asked in turns with the one execution, and holds them against the budgets;
// with -peer, the same work in the same run on River (PostgreSQL, and SQLite as
// durable as ours) and on Temporal's server with its SDK, both modules of their
// own, each between two runs of ours. The private PostgreSQL server has been
// through a checkpoint, so that its log is written over as that of one that has
// run for a while. It fails when a budget is unmet:
//
//	go run ./peers engine [-n 3000] [-inflight 1,64] [-store sqlite,postgres] [-peer]
package engine
