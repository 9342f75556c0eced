// Package store keeps everything durable: executions, the event log, records.
// It owns SQL, migrations and the guarantees behind them, on SQLite for one
// process and on PostgreSQL for several replicas. It refuses to know what an
// execution means: package execution declares the port that is implemented
// here.
package store
