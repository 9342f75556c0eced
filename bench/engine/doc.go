// Command engine measures durable task transitions: executions of five stages
// with two tasks each that do nothing, every transition on disk before the next
// one starts. It prints throughput and latency with one and with many
// executions in flight, beside the latency of one fdatasync of the same disk,
// and, when asked, the same work on a peer engine in the same run:
//
//	go run ./bench/engine [-n 2000] [-inflight 1,64] [-store sqlite,postgres] [-peer]
package main
