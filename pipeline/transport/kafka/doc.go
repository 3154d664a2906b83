// Package kafka moves messages over a Kafka cluster: a [Producer], a [Consumer] that is a pipeline source, a [Deduper]
// that is a sink which writes each event once, and the small tools around them (topics, lag, dead letters). It is the
// only package that imports kafka-go, and uses of it only what was measured to keep its promises:
//
//   - Produce goes through Client.RawProduce with batches encoded here, because kafka-go's own writer is not idempotent: after a lost
//     response it stores a batch twice. Ours carry producer id, epoch and sequence, are retried byte for byte, and are sent one at a time per
//     partition, so the broker recognises the repeat and the order within a key holds.
//   - Consume goes through the Generation API, whose commits the broker refuses once the partition belongs to someone else. The high-level
//     Reader's are accepted and rewind the new owner.
//   - Commits acknowledge everything below them, so only the contiguous settled prefix is committed ([pipeline.OffsetTracker]).
//   - There are no transactions: kafka-go's readers return aborted records.
package kafka
