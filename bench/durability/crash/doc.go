// Package crash shows from outside that nothing is lost. It starts real control
// planes on one real database, makes them deliver without pause, kills or hangs
// them at random moments, and counts the effects of their stages outside of the
// control planes' memory. It fails when an acknowledged execution is lost, when
// an effect happened twice or not at all, when an execution made no progress for
// half a minute, or when a reader that kept its position in the event log missed
// an event or saw one twice:
//
//	go run ./durability crash                             # 50 kills across three replicas
//	go run ./durability crash -kills 1000                 # the promised size
//	go run ./durability crash -database sqlite -kills 100 # one control plane on SQLite
//	go run ./durability crash -outage 30s                 # PostgreSQL is stopped in the middle; reads are checked meanwhile
//	go run ./durability crash -outage 30s -pause          # it hangs instead
//	go run ./durability crash -hang 0.2                   # a fifth of the victims are stopped, not killed
//	go run ./durability crash -old BINARY                 # begins with another version, upgrades while it runs
//	go run ./durability crash -pooler                     # through pgbouncer in transaction mode
//
// With -takeover it measures how long the work of killed and of stopped replicas
// stands still, in fleets of two and five, and the database records which replica
// wrote what; with -scale, it measures the throughput of one, two and four
// replicas:
//
//	go run ./durability crash -takeover 20 -scale
//
// With -waiting it makes very many executions wait for a place, and measures the
// rate of their commands, spread over the replicas, also after each replica was
// killed:
//
//	go run ./durability crash -waiting 20000
package crash
