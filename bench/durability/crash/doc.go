// Package crash shows from outside that nothing is lost: it starts real control
// planes on one real database, has them deliver without pause, kills or hangs
// them at random moments, and counts what their stages did with programs that
// belong to nobody's memory but the disk's. It fails when an acknowledged
// execution is lost, when an effect happened twice or not at all, when something
// made no progress for half a minute, or when the event log missed or repeated
// anything to a reader that kept its position:
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
// stands still, in fleets of two and five, and has the database say who wrote
// what; with -scale, what one, two and four replicas get through:
//
//	go run ./durability crash -takeover 20 -scale
//
// With -waiting it has very many executions wait for a place, and measures at what
// speed their commands go, spread over the replicas, also after each was killed:
//
//	go run ./durability crash -waiting 20000
package crash
