package kafka

import (
	"errors"
	"net"
	"slices"
	"syscall"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
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

// messageRefused reports whether one or more messages of a batch are invalid themselves, so that no retry will help.
// It is false for errors that affect every message and that an operator can fix: authorization, the policies and
// settings of the cluster, its message format, and its clock.
func messageRefused(err error) bool { return tooLarge(err) || is(err, kafkago.InvalidRecord) }

// neverWorks reports whether a request to create a topic is invalid.
func neverWorks(err error) bool {
	return is(err,
		kafkago.InvalidRequest, kafkago.InvalidTopic, kafkago.InvalidPartitionNumber, kafkago.InvalidReplicationFactor,
		kafkago.InvalidConfiguration, kafkago.PolicyViolation)
}

// unknownPartition reports whether a topic or partition does not exist, according to the broker or to the transport's
// cache.
func unknownPartition(err error) bool {
	return is(err, kafkago.UnknownTopicOrPartition) || errors.Is(err, protocol.ErrNoTopic) ||
		errors.Is(err, protocol.ErrNoPartition)
}

// errMoved is the error of a message whose partition does not exist any more. It must go to another one.
var errMoved = errors.New("the partition does not exist any more")

// errFenced is the error of a message that was not stored because another process has claimed its source.
var errFenced = errors.New("another process has claimed the partition of the volumes")

// sequenceLost reports whether the broker rejected the batch because it has lost the state of our producer ID, for
// example to retention. A new ID is needed.
func sequenceLost(err error) bool {
	return is(err,
		kafkago.OutOfOrderSequenceNumber, kafkago.UnknownProducerId, kafkago.InvalidProducerEpoch,
		kafkago.InvalidProducerIDMapping, kafkago.ProducerFenced)
}

// absentError is the error of a connection to an address at which no broker answers.
type absentError struct {
	why string
	err error
}

func (e *absentError) Error() string { return e.why }
func (e *absentError) Unwrap() error { return e.err }

// Absent reports whether err says that no broker answers at an address: its host is unknown or refuses connections, or
// something else listens there.
func Absent(err error) bool {
	_, ok := errors.AsType[*absentError](err)
	return ok
}

// whyAbsent returns why no broker answers at an address, or an empty string if err says something else.
func whyAbsent(err error) string {
	if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound {
		return "unknown host " + e.Name
	}
	if e, ok := errors.AsType[*foreignError](err); ok {
		return e.Error()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return ""
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Addr != nil {
		return "connection refused by " + e.Addr.String()
	}
	return "connection refused"
}
