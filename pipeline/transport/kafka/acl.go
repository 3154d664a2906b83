package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	metadataapi "github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// resource is a kind of resource that ACLs protect, with its option of kafka-acls.
type resource struct{ name, option string }

// resources are the kinds of resources by the error for missing rights to them.
var resources = map[kafkago.Error]resource{
	kafkago.TopicAuthorizationFailed:           {"topic", "--topic"},
	kafkago.GroupAuthorizationFailed:           {"group", "--group"},
	kafkago.ClusterAuthorizationFailed:         {"cluster", "--cluster"},
	kafkago.TransactionalIDAuthorizationFailed: {"transactional ID", "--transactional-id"},
}

// operations are the operations that requests need, by the error for a missing right.
type operations map[kafkago.Error]string

// needs are the operations that each request of ours needs.
var needs = map[kmsg.Key]operations{
	kmsg.Produce: {
		kafkago.TopicAuthorizationFailed: "Write", kafkago.ClusterAuthorizationFailed: "IdempotentWrite",
		kafkago.TransactionalIDAuthorizationFailed: "Write",
	},
	kmsg.Fetch:       {kafkago.TopicAuthorizationFailed: "Read"},
	kmsg.ListOffsets: {kafkago.TopicAuthorizationFailed: "Describe"},
	kmsg.Metadata:    {kafkago.TopicAuthorizationFailed: "Describe"},
	kmsg.OffsetCommit: {
		kafkago.GroupAuthorizationFailed: "Read", kafkago.TopicAuthorizationFailed: "Read",
	},
	kmsg.OffsetFetch: {
		kafkago.GroupAuthorizationFailed: "Describe", kafkago.TopicAuthorizationFailed: "Describe",
	},
	kmsg.FindCoordinator: {
		kafkago.GroupAuthorizationFailed: "Describe", kafkago.TransactionalIDAuthorizationFailed: "Describe",
	},
	kmsg.JoinGroup:      {kafkago.GroupAuthorizationFailed: "Read"},
	kmsg.SyncGroup:      {kafkago.GroupAuthorizationFailed: "Read"},
	kmsg.Heartbeat:      {kafkago.GroupAuthorizationFailed: "Read"},
	kmsg.LeaveGroup:     {kafkago.GroupAuthorizationFailed: "Read"},
	kmsg.DescribeGroups: {kafkago.GroupAuthorizationFailed: "Describe"},
	kmsg.ListGroups:     {kafkago.ClusterAuthorizationFailed: "Describe"},
	kmsg.CreateTopics: {
		kafkago.TopicAuthorizationFailed: "Create", kafkago.ClusterAuthorizationFailed: "Create",
	},
	kmsg.InitProducerID: {
		kafkago.ClusterAuthorizationFailed:         "IdempotentWrite", // or Write on any topic: see missing
		kafkago.TransactionalIDAuthorizationFailed: "Write",
	},
	kmsg.AddPartitionsToTxn: {
		kafkago.TransactionalIDAuthorizationFailed: "Write", kafkago.TopicAuthorizationFailed: "Write",
	},
	kmsg.AddOffsetsToTxn: {
		kafkago.TransactionalIDAuthorizationFailed: "Write", kafkago.GroupAuthorizationFailed: "Read",
	},
	kmsg.EndTxn: {kafkago.TransactionalIDAuthorizationFailed: "Write"},
	kmsg.TxnOffsetCommit: {
		kafkago.TransactionalIDAuthorizationFailed: "Write", kafkago.GroupAuthorizationFailed: "Read",
		kafkago.TopicAuthorizationFailed: "Read",
	},
	kmsg.DescribeConfigs: {
		kafkago.TopicAuthorizationFailed: "DescribeConfigs", kafkago.ClusterAuthorizationFailed: "DescribeConfigs",
	},
	kmsg.OffsetForLeaderEpoch: {kafkago.TopicAuthorizationFailed: "Describe"},
	kmsg.DescribeProducers:    {kafkago.TopicAuthorizationFailed: "Read"},
	kmsg.DescribeLogDirs:      {kafkago.ClusterAuthorizationFailed: "Describe"},
}

// optional are the requests whose callers can continue without a response. If one is denied, the round trip does not
// fail.
var optional = []kmsg.Key{kmsg.DescribeConfigs, kmsg.OffsetForLeaderEpoch, kmsg.DescribeProducers}

// right is what an ACL grants.
type right struct {
	code      kafkago.Error
	name      string // of the topic, group or transactional ID; empty for the cluster, and if it is not known
	operation string
}

func (r right) String() string {
	kind := resources[r.code].name
	if r.code == kafkago.ClusterAuthorizationFailed {
		return fmt.Sprintf("%s on the cluster", r.operation)
	}
	if r.name == "" {
		return fmt.Sprintf("%s on a %s", r.operation, kind)
	}
	return fmt.Sprintf("%s on %s %q", r.operation, kind, r.name)
}

// deniedError is the error of a request that the ACLs of the cluster do not allow.
type deniedError struct {
	principal string // empty if it is not known
	broker    string
	rights    []right
	err       error
}

// Error says what is missing, and how to grant it.
func (e *deniedError) Error() string {
	var missing, commands []string
	for _, r := range e.rights {
		missing = append(missing, r.String())
		commands = append(commands, e.command(r))
	}
	who := e.principal
	if who == "" {
		who = "this user"
	}
	return fmt.Sprintf("the ACLs of the cluster do not allow %s the operation %s; grant it with: %s", who,
		strings.Join(missing, ", "), strings.Join(commands, " && "))
}

func (e *deniedError) Unwrap() error { return e.err }

// command returns the command line that grants a right.
func (e *deniedError) command(r right) string {
	who := e.principal
	if who == "" {
		who = "User:NAME"
	}
	words := []string{
		"kafka-acls", "--bootstrap-server", e.broker, "--add", "--allow-principal", who, "--operation", r.operation,
		resources[r.code].option,
	}
	if r.code != kafkago.ClusterAuthorizationFailed {
		name := r.name
		if name == "" {
			name = "NAME"
		}
		words = append(words, name)
	}
	for i, w := range words {
		words[i] = quoted(w)
	}
	return strings.Join(words, " ")
}

// quoted quotes a word for a shell if it needs that.
func quoted(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.:/=@%+", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// denied returns the error for missing rights, or nil if there are none.
func (c *Client) denied(rights []right) error {
	if len(rights) == 0 {
		return nil
	}
	slices.SortFunc(rights, func(a, b right) int { return strings.Compare(a.String(), b.String()) })
	rights = slices.Compact(rights)
	all := slices.Clone(rights)
	rights = slices.DeleteFunc(rights, func(r right) bool { // an error of the whole response that its parts repeat
		return r.name == "" && slices.ContainsFunc(all, func(o right) bool { return o.code == r.code && o.name != "" })
	})
	return &deniedError{principal: c.principal(), broker: c.cfg.Brokers[0], rights: rights, err: rights[0].code}
}

// explainGroup explains the error of a group that consumes a topic: of one of the requests join, sync, heartbeat, leave
// or commit, which the client libraries send themselves.
func (c *Client) explainGroup(err error, group, topic string) error {
	name := ""
	code, ok := codeOf(err)
	switch {
	case !ok || isDenied(err):
		return c.explain(err)
	case code == kafkago.GroupAuthorizationFailed:
		name = group
	case code == kafkago.TopicAuthorizationFailed:
		name = topic
	default:
		return c.explain(err)
	}
	return c.denied([]right{{code, name, needs[kmsg.OffsetCommit][code]}})
}

// isDenied reports whether err has been explained.
func isDenied(err error) bool {
	_, ok := errors.AsType[*deniedError](err)
	return ok
}

// principal returns the principal of our connections, if it is known. The brokers may map it to another one.
func (c *Client) principal() string {
	s := c.cfg.SASL
	switch {
	case s != nil && s.user != "":
		return "User:" + s.user
	case s != nil:
		if subject := s.subject.Load(); subject != nil {
			return "User:" + *subject
		}
		return ""
	case c.cfg.TLS != nil:
		if p := c.cfg.TLS.principal(c.log); p != "" {
			return p
		}
	}
	return "User:ANONYMOUS"
}

// explainingTransport is kafka-go's transport with errors that explain missing rights.
type explainingTransport struct {
	*kafkago.Transport
	client *Client
}

// RoundTrip sends a request. If rights are missing for all or a part of it, it returns an error that wraps their code.
func (t *explainingTransport) RoundTrip(ctx context.Context, addr net.Addr, req kafkago.Request) (kafkago.Response, error) {
	res, err := t.Transport.RoundTrip(ctx, addr, req)
	key := kmsg.Key(req.ApiKey())
	if slices.Contains(optional, key) {
		return res, err
	}
	if err == nil {
		err = t.client.denied(missing(key, req, res))
	}
	if unknownTopic(err, res) {
		if hidden := t.client.denied(t.hidden(ctx, key, req)); hidden != nil {
			err = hidden
		}
	}
	if err != nil {
		return nil, err
	}
	return res, nil
}

// unknownTopic reports whether kafka-go's copy of the metadata lacks a topic of the request.
func unknownTopic(err error, res kafkago.Response) bool {
	if is(err, kafkago.UnknownTopicOrPartition) || errors.Is(err, protocol.ErrNoTopic) {
		return true
	}
	m, ok := res.(*metadataapi.Response)
	return ok && slices.ContainsFunc(m.Topics, func(t metadataapi.ResponseTopic) bool {
		return kafkago.Error(t.ErrorCode) == kafkago.UnknownTopicOrPartition
	})
}

// hidden returns the missing rights to topics of a request that the cluster hides from us. kafka-go requests the
// metadata of all topics. They do not include topics that we may not see, so a missing right looks like a missing
// topic.
func (t *explainingTransport) hidden(ctx context.Context, key kmsg.Key, req kafkago.Request) (rights []right) {
	_, names := collect(req)
	if m, ok := req.(*metadataapi.Request); ok {
		names.topics = m.TopicNames
	}
	if len(names.topics) == 0 {
		return nil
	}
	res, err := t.client.metadata(ctx, t.Transport, names.topics...)
	if err != nil {
		return nil
	}
	for _, m := range res.Topics {
		if code := kafkago.Error(m.ErrorCode); code == kafkago.TopicAuthorizationFailed && m.Topic != nil {
			rights = append(rights, right{code, *m.Topic, needs[key][code]})
		}
	}
	return rights
}

// missing returns the rights that a response says are missing.
func missing(key kmsg.Key, req, res any) (rights []right) {
	found, _ := collect(res)
	for _, f := range found {
		if key == kmsg.InitProducerID && f.code == kafkago.ClusterAuthorizationFailed {
			// Since Kafka 2.8, every principal that may write to a topic may have a producer ID.
			f.code, key = kafkago.TopicAuthorizationFailed, kmsg.Produce
		}
		r := right{code: f.code, operation: needs[key][f.code]}
		if r.operation == "" {
			r.operation = "All"
		}
		_, names := collect(req)
		switch f.code {
		case kafkago.TopicAuthorizationFailed:
			if r.name = f.topic; r.name == "" && len(names.topics) == 1 {
				r.name = names.topics[0]
			}
		case kafkago.GroupAuthorizationFailed:
			r.name = names.group
		case kafkago.TransactionalIDAuthorizationFailed:
			r.name = names.transaction
		}
		rights = append(rights, r)
	}
	return rights
}

// denial is an error for a missing right in a response. The topic may be empty.
type denial struct {
	code  kafkago.Error
	topic string
}

// names are the resources that a request names.
type names struct {
	topics             []string
	group, transaction string
}

// collect walks a request or a response of either client library. All of them have the same names for their fields.
func collect(message any) (found []denial, n names) {
	walk(reflect.ValueOf(message), "", &found, &n)
	return found, n
}

func walk(v reflect.Value, topic string, found *[]denial, n *names) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			walk(v.Elem(), topic, found, n)
		}
	case reflect.Slice:
		if k := v.Type().Elem().Kind(); k != reflect.Struct && k != reflect.Pointer {
			return
		}
		for i := range v.Len() {
			walk(v.Index(i), topic, found, n)
		}
	case reflect.Struct:
		t := v.Type()
		for i := range t.NumField() {
			if !t.Field(i).IsExported() {
				continue
			}
			switch s := text(v.Field(i)); t.Field(i).Name {
			case "Topic", "TopicName", "Name", "ResourceName":
				if s != "" {
					topic, n.topics = s, append(n.topics, s)
				}
			case "Group", "GroupID", "CoordinatorKey", "Key":
				n.group, n.transaction = s, s
			case "TransactionalID", "TransactionID":
				n.transaction = s
			case "Groups":
				if groups, ok := reflect.TypeAssert[[]string](v.Field(i)); ok && len(groups) == 1 {
					n.group = groups[0]
				}
			}
		}
		for i := range t.NumField() {
			f := v.Field(i)
			if name := t.Field(i).Name; f.Kind() == reflect.Int16 && (name == "ErrorCode" || name == "code") {
				if code := kafkago.Error(f.Int()); resources[code].name != "" {
					*found = append(*found, denial{code, topic})
				}
			} else if t.Field(i).IsExported() {
				walk(f, topic, found, n)
			}
		}
	}
}

// text returns the text of a field that is a string or points to one.
func text(v reflect.Value) string {
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() == reflect.String {
		return v.String()
	}
	return ""
}
