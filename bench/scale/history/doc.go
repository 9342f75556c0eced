// Package history measures a control plane that has kept much, from outside: it has
// a real one carry out a few executions and weighs them, fills a store with very
// many like them, and asks a real control plane on it for pages over HTTP:
//
//	go run ./scale history                        # 1,000,000 executions, both databases
//	go run ./scale history -n 100000 -store sqlite
//	go run ./scale history -backup                # also a backup under load, restored into both databases
//	go run ./scale history -prune                 # also removes the oldest by the retention policy, under load
//	go run ./scale history -data DIR              # keeps the filled stores there, for the next run
//
// It fails (exit code 1) when an execution of ten stages keeps 64 KB or more,
// when a child holds what its parent was given, when a page takes 100 ms or more,
// when the control plane is ready later than on an empty store or its memory grows
// with the pages, when what was restored is not what was backed up, or when
// deliveries stand still while the store is pruned.
//
// The store is filled through Restore, from lines that have an execution's real
// rows with other names, times, outcomes, triggers and parameters: what the engine
// writes, but not in the order of time. The seed is printed.
package history
