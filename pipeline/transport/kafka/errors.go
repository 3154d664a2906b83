package kafka

import (
	"errors"
	"slices"

	kafkago "github.com/segmentio/kafka-go"
)

// ErrClosed is returned by producers and consumers after Close.
var ErrClosed = errors.New("kafka: closed")

// is reports whether err is one of the codes.
func is(err error, codes ...kafkago.Error) bool {
	k, ok := errors.AsType[kafkago.Error](err)
	return ok && slices.Contains(codes, k)
}

// tooLarge: the batch must be cut, or its one record is at fault.
func tooLarge(err error) bool {
	return is(err, kafkago.MessageSizeTooLarge, kafkago.RecordListTooLarge)
}

// neverWorks: the request itself is wrong. Authorisation is not among these: it concerns every message, and an operator
// repairs it.
func neverWorks(err error) bool {
	return tooLarge(err) || is(err, kafkago.InvalidRecord, kafkago.InvalidTopic,
		kafkago.UnsupportedForMessageFormat, kafkago.InvalidTimestamp,
		kafkago.InvalidPartitionNumber, kafkago.InvalidReplicationFactor, kafkago.InvalidConfiguration, kafkago.PolicyViolation)
}

// sequenceLost: the broker no longer knows our producer id as we do (retention, a lost log). The batch was refused; a
// new id starts over.
func sequenceLost(err error) bool {
	return is(err, kafkago.OutOfOrderSequenceNumber, kafkago.UnknownProducerId, kafkago.InvalidProducerEpoch,
		kafkago.InvalidProducerIDMapping,
		kafkago.ProducerFenced)
}
