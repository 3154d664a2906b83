package kafka

import (
	"errors"
	"slices"

	kafkago "github.com/segmentio/kafka-go"
)

// ErrClosed is returned by producers and consumers after Close.
var ErrClosed = errors.New("kafka: closed")

// is reports whether err is or wraps one of the codes.
func is(err error, codes ...kafkago.Error) bool {
	k, ok := errors.AsType[kafkago.Error](err)
	return ok && slices.Contains(codes, k)
}

// errTooLarge is wrapped by the error of a message that exceeds the limit of its producer.
var errTooLarge = errors.New("message too large")

// tooLarge reports whether the batch must be split or, if it has a single record, the record is at fault.
func tooLarge(err error) bool {
	return errors.Is(err, errTooLarge) || is(err, kafkago.MessageSizeTooLarge, kafkago.RecordListTooLarge)
}

// neverWorks reports whether the request itself is invalid. Authorization errors are not included, because they affect
// every message and an operator can fix them.
func neverWorks(err error) bool {
	return tooLarge(err) || is(err,
		kafkago.InvalidRecord, kafkago.InvalidTopic, kafkago.UnsupportedForMessageFormat, kafkago.InvalidTimestamp,
		kafkago.InvalidPartitionNumber, kafkago.InvalidReplicationFactor, kafkago.InvalidConfiguration,
		kafkago.PolicyViolation)
}

// sequenceLost reports whether the broker rejected the batch because it has lost the state of our producer ID, for
// example to retention. A new ID is needed.
func sequenceLost(err error) bool {
	return is(err,
		kafkago.OutOfOrderSequenceNumber, kafkago.UnknownProducerId, kafkago.InvalidProducerEpoch,
		kafkago.InvalidProducerIDMapping, kafkago.ProducerFenced)
}
