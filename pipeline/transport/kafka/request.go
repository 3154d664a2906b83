package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// anyBroker is the broker ID of a request that every broker answers. kafka-go sends it over any connection.
const anyBroker = -1

// route chooses the broker of a request.
type route func(protocol.Cluster) (protocol.Broker, error)

func toAny(protocol.Cluster) (protocol.Broker, error) { return protocol.Broker{ID: anyBroker}, nil }

// toBroker chooses a broker by its ID.
func toBroker(id int32) route {
	return func(cluster protocol.Cluster) (protocol.Broker, error) {
		b, ok := cluster.Brokers[id]
		if !ok {
			return b, errNoBroker
		}
		return b, nil
	}
}

var errNoBroker = errors.New("the broker is not alive")

// toLeader chooses the leader of a partition.
func toLeader(topic string, partition int) route {
	return func(cluster protocol.Cluster) (protocol.Broker, error) {
		p, ok := cluster.Topics[topic].Partitions[int32(partition)]
		if !ok {
			return protocol.Broker{}, kafkago.UnknownTopicOrPartition
		}
		b, ok := cluster.Brokers[p.Leader]
		if !ok {
			return protocol.Broker{}, kafkago.LeaderNotAvailable
		}
		return b, nil
	}
}

// request is a request in a version that kafka-go does not support. As a protocol.RawExchanger, it has direct access
// to the connection. kafka-go still chooses, opens and authenticates it, and closes it after an error.
type request struct {
	Topic  string // that the request is about, for errors about missing rights; it may be empty
	client *Client
	route  route
	key    kmsg.Key
	// exchange sends the request and reads the response. ranges has the versions of the broker.
	exchange func(rw io.ReadWriter, ranges versions) (protocol.Message, error)
	broker   int32
}

var (
	_ protocol.RawExchanger  = (*request)(nil)
	_ protocol.BrokerMessage = (*request)(nil)
)

// ApiKey implements protocol.Message.
//
//nolint:revive,staticcheck // the interface of kafka-go
func (r *request) ApiKey() protocol.ApiKey { return protocol.ApiKey(r.key) }

// Broker implements protocol.BrokerMessage.
func (r *request) Broker(cluster protocol.Cluster) (protocol.Broker, error) {
	b, err := r.route(cluster)
	r.broker = b.ID
	return b, err
}

// Required implements protocol.RawExchanger.
func (*request) Required(map[protocol.ApiKey]int16) bool { return true }

// RawExchange implements protocol.RawExchanger.
func (r *request) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	ranges, err := r.client.apis.of(rw, r.client.cfg.ClientID, r.broker)
	if err != nil {
		return nil, err
	}
	m, err := r.exchange(rw, ranges)
	if err != nil {
		r.client.apis.forget(r.broker) // it may have been replaced by another version
	}
	return m, err
}

// versions are the version ranges of a broker, by request.
type versions map[kmsg.Key][2]int16

// pick returns the newest version of a request, at most newest, that the broker supports. ok is false if there is
// none.
func (v versions) pick(key kmsg.Key, newest int16) (version int16, ok bool) {
	r, ok := v[key]
	if !ok || r[0] > newest || r[1] < 0 {
		return 0, false
	}
	return min(r[1], newest), true
}

// apis remembers the versions of each broker. kafka-go reports only those that it supports itself.
type apis struct {
	mu     sync.Mutex
	broker map[int32]versions
}

// of returns the versions of a broker, which it requests if they are not known.
func (a *apis) of(rw io.ReadWriter, clientID string, broker int32) (versions, error) {
	a.mu.Lock()
	known := a.broker[broker]
	a.mu.Unlock()
	if known != nil {
		return known, nil
	}
	req := kmsg.NewPtrApiVersionsRequest() // in version 0, which every broker knows
	res := kmsg.NewPtrApiVersionsResponse()
	if err := exchange(rw, clientID, req, res); err != nil {
		return nil, err
	}
	if res.ErrorCode != 0 {
		return nil, kafkago.Error(res.ErrorCode)
	}
	known = make(versions, len(res.ApiKeys))
	for _, k := range res.ApiKeys {
		known[kmsg.Key(k.ApiKey)] = [2]int16{k.MinVersion, k.MaxVersion}
	}
	if broker != anyBroker {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.broker == nil {
			a.broker = map[int32]versions{}
		}
		a.broker[broker] = known
	}
	return known, nil
}

func (a *apis) forget(broker int32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.broker, broker)
}

// maxResponse is the maximum size in bytes of a response, unless it has records. Decoded, it takes several times as much
// memory.
const maxResponse = 4 << 20

const correlation = 1 // there is one request at a time on a connection

// send writes a request.
func send(w io.Writer, clientID string, req kmsg.Request) error {
	f := kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID))
	_, err := w.Write(f.AppendRequest(nil, req, correlation))
	return err
}

// receive reads the header of a response to a request.
func receive(r io.Reader, req kmsg.Request) (*frame, error) {
	name := kmsg.NameForKey(req.Key())
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := int64(int32(binary.BigEndian.Uint32(size[:])))
	if n < 0 {
		return nil, fmt.Errorf("%s response: found a size of %d", name, n)
	}
	in := &frame{in: io.LimitedReader{R: r, N: n}, flexible: req.IsFlexible()}
	if got := in.int(4); in.err == nil && got != correlation {
		return nil, fmt.Errorf("%s response: found the response to request %d, want %d", name, got, correlation)
	}
	in.tags(nil)
	if in.err != nil {
		return nil, fmt.Errorf("%s response: %w", name, in.err)
	}
	return in, nil
}

// exchange sends a request and decodes the response into res.
func exchange(rw io.ReadWriter, clientID string, req kmsg.Request, res kmsg.Response) error {
	if err := send(rw, clientID, req); err != nil {
		return err
	}
	in, err := receive(rw, req)
	if err != nil {
		return err
	}
	if in.in.N > maxResponse {
		return fmt.Errorf("%s response: found %d bytes, limit %d", kmsg.NameForKey(req.Key()), in.in.N, maxResponse)
	}
	body := make([]byte, in.in.N)
	if _, err := io.ReadFull(&in.in, body); err != nil {
		return noEOF(err)
	}
	res.SetVersion(req.GetVersion())
	if err := res.ReadFrom(body); err != nil {
		return fmt.Errorf("%s response: %w", kmsg.NameForKey(req.Key()), err)
	}
	return nil
}

// response is the answer to a request of the function ask.
type response struct{ kmsg.Response }

// ApiKey implements protocol.Message.
//
//nolint:revive,staticcheck // the interface of kafka-go
func (r response) ApiKey() protocol.ApiKey { return protocol.ApiKey(r.Key()) }

// errNotOffered is returned by ask if the broker has no version of the request that is known here.
var errNotOffered = fmt.Errorf("the broker does not offer the request: %w", kafkago.UnsupportedVersion)

// ask sends a request once, in the newest version that the broker knows, and returns the response.
func ask[R kmsg.Response](ctx context.Context, c *Client, to route, req kmsg.Request, newest int16) (res R, err error) {
	return askOver[R](ctx, c, c.transport, to, req, newest)
}

// askOver is ask over a transport of c.
func askOver[R kmsg.Response](
	ctx context.Context, c *Client, over kafkago.RoundTripper, to route, req kmsg.Request, newest int16,
) (res R, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	key := kmsg.Key(req.Key())
	m, err := over.RoundTrip(ctx, c.kafka.Addr, &request{
		client: c, route: to, key: key,
		exchange: func(rw io.ReadWriter, ranges versions) (protocol.Message, error) {
			version, ok := ranges.pick(key, newest)
			if !ok {
				return response{}, nil
			}
			req.SetVersion(version)
			res := req.ResponseKind()
			return response{res}, exchange(rw, c.cfg.ClientID, req, res)
		},
	})
	if err != nil {
		return res, err
	}
	if m.(response).Response == nil {
		return res, errNotOffered
	}
	return m.(response).Response.(R), nil
}

// newestMetadata is the newest version of the request for metadata that is used here.
const newestMetadata = 12

// metadata requests the metadata of topics from a broker. kafka-go answers such requests from a copy that may be
// [metadataTTL] old, and that leaves out topics that this client may not see.
func (c *Client) metadata(
	ctx context.Context, over kafkago.RoundTripper, topics ...string,
) (*kmsg.MetadataResponse, error) {
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		req.Topics = append(req.Topics, t)
	}
	return askOver[*kmsg.MetadataResponse](ctx, c, over, toAny, req, newestMetadata)
}
