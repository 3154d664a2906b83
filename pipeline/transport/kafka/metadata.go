package kafka

import (
	"context"
	"fmt"
	"io"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	metadataapi "github.com/segmentio/kafka-go/protocol/metadata"
)

// metadataRequest is a metadata request that a broker answers. The transport of kafka-go answers its own from a cache
// that may be [metadataTTL] old. As a protocol.RawExchanger, the request gets the connection itself.
type metadataRequest struct {
	request  metadataapi.Request
	clientID string
	version  int16
}

// ApiKey implements protocol.Message. The transport takes requests with the key of metadata for its own.
//
//nolint:revive,staticcheck // the interface of kafka-go
func (*metadataRequest) ApiKey() protocol.ApiKey { return protocol.ApiVersions }

var _ protocol.RawExchanger = (*metadataRequest)(nil)

// maxMetadata is the last version of the request that kafka-go knows.
const maxMetadata = 8

// Required implements protocol.RawExchanger.
func (r *metadataRequest) Required(versions map[protocol.ApiKey]int16) bool {
	r.version = min(versions[protocol.Metadata], maxMetadata)
	return true
}

// RawExchange implements protocol.RawExchanger.
func (r *metadataRequest) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	const correlation = 1
	if err := protocol.WriteRequest(rw, r.version, correlation, r.clientID, &r.request); err != nil {
		return nil, err
	}
	got, res, err := protocol.ReadResponse(rw, protocol.Metadata, r.version)
	if err == nil && got != correlation {
		err = fmt.Errorf("metadata response: found the response to request %d, want %d", got, correlation)
	}
	if err != nil {
		return nil, err
	}
	return &metadataResponse{topics: res.(*metadataapi.Response).Topics}, nil
}

// metadataResponse is the answer to a metadataRequest, which the transport does not take for its own either.
type metadataResponse struct {
	metadataRequest
	topics []metadataapi.ResponseTopic
}

// partitionsNow is partitions without the cache.
func (c *Client) partitionsNow(ctx context.Context, topic string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m, err := c.transport.RoundTrip(ctx, c.kafka.Addr, &metadataRequest{
		clientID: c.cfg.ClientID, request: metadataapi.Request{TopicNames: []string{topic}},
	})
	if err != nil {
		return 0, err
	}
	for _, t := range m.(*metadataResponse).topics {
		switch {
		case t.Name != topic:
		case t.ErrorCode != 0:
			return 0, kafkago.Error(t.ErrorCode)
		case len(t.Partitions) > 0:
			return len(t.Partitions), nil
		}
	}
	return 0, kafkago.UnknownTopicOrPartition
}
