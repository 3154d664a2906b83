// Package kafka moves messages over a Kafka cluster. It has a [Producer], a [Consumer] that is a pipeline source, a
// [Deduper] that is a sink and writes each event once, and functions for topics, lag and dead letters. It is the only
// package that imports kafka-go, and it uses only the parts of it that passed our tests:
//
//   - Producers use Client.RawProduce with batches encoded here. kafka-go's own writer is not idempotent and stores a
//     batch twice after a lost response. Our batches carry a producer ID, an epoch and a sequence number. They are
//     retried byte for byte and sent one at a time per partition, so the broker recognizes duplicates and the messages
//     of a key stay in order.
//   - Batches are fetched with Client.Transport and decoded by package recordset. kafka-go's own readers allocate what a
//     batch claims to need, so one record could end every process of a group.
//   - Consumers use the Generation API. The broker rejects its commits once another member owns the partition. It
//     would accept those of the high-level Reader, and rewind the new owner.
//   - A commit acknowledges everything below it, so only the settled prefix is committed (see [pipeline.OffsetTracker]).
//   - There are no transactions, because kafka-go's readers return aborted records.
package kafka
