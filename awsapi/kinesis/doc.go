// Package kinesis serves AWS Kinesis Data Streams: durable streams with shards, in
// the records of this control plane. It owns where a record goes (by the hash of its
// key), the order in a shard, sequence numbers, iterators, limits and retention.
//
// The records of a shard are chunks: documents with rising numbers without a gap.
// A chunk is created only when the one before it is there, so a reader that has
// read up to a chunk has missed nothing before it, whichever replica wrote it.
// Puts that wait at the same time for the same shard share a chunk.
//
// Consumers with enhanced fan-out are sent records as they come. It refuses encryption
// by a key of the caller's.
// Source: Amazon Kinesis Data Streams API Reference and developer guide.
package kinesis
