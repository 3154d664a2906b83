package kafka

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	kafkago "github.com/segmentio/kafka-go"
	kafkagosasl "github.com/segmentio/kafka-go/sasl"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

const oauthBearer = "oauthbearer"

// mechanism returns the mechanism for both client libraries. It reads the password or token again for each
// connection.
func (s *SASL) mechanism(log *slog.Logger) (*handshakes, error) {
	if s == nil {
		return nil, nil //nolint:nilnil // no SASL is a valid configuration
	}
	inScram := func(context.Context) (scram.Auth, error) {
		return scram.Auth{User: s.user, Pass: s.password.Get(log)}, nil
	}
	var m sasl.Mechanism
	switch s.name {
	case "plain":
		m = plain.Plain(func(context.Context) (plain.Auth, error) {
			return plain.Auth{User: s.user, Pass: s.password.Get(log)}, nil
		})
	case "scram-sha-256":
		m = scram.Sha256(inScram)
	case "scram-sha-512":
		m = scram.Sha512(inScram)
	case oauthBearer:
		m = bearer{oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
			token, err := s.tokens.token(ctx, log)
			s.subject.Store(subject(token))
			return oauth.Auth{Token: token, Extensions: s.extensions}, err
		})}
	default:
		return nil, fmt.Errorf("kafka: SASL mechanism: found %q, want plain, scram-sha-256, scram-sha-512 or oauthbearer",
			s.name)
	}
	return &handshakes{m}, nil
}

// handshakes is a mechanism of franz-go that kafka-go can use too.
type handshakes struct{ sasl.Mechanism }

// Start begins an authentication of kafka-go.
func (h *handshakes) Start(ctx context.Context) (kafkagosasl.StateMachine, []byte, error) {
	host := ""
	if m := kafkagosasl.MetadataFromContext(ctx); m != nil {
		host = m.Host
	}
	s, first, err := h.Authenticate(ctx, host)
	if err != nil {
		return nil, nil, err
	}
	return handshake{s}, first, nil
}

// handshake is one authentication of kafka-go.
type handshake struct{ sasl.Session }

// Next continues the authentication.
func (s handshake) Next(_ context.Context, challenge []byte) (done bool, response []byte, err error) {
	return s.Challenge(challenge)
}

// bearer is the mechanism OAUTHBEARER with an error for the answer of a broker that refuses the token (RFC 7628,
// 3.2.2).
type bearer struct{ sasl.Mechanism }

// Authenticate begins an authentication.
func (b bearer) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	s, first, err := b.Mechanism.Authenticate(ctx, host)
	return bearing{s}, first, err
}

type bearing struct{ sasl.Session }

// Challenge is empty if the broker accepts the token.
func (bearing) Challenge(challenge []byte) (done bool, response []byte, err error) {
	if len(challenge) > 0 {
		return false, nil, fmt.Errorf("%w: authentication failed (SASL oauthbearer): the broker refused the token: %.200q",
			ErrAccess, challenge)
	}
	return true, nil, nil
}

// codeOf returns the code of an error of kafka-go or franz-go.
func codeOf(err error) (kafkago.Error, bool) {
	if k, ok := errors.AsType[kafkago.Error](err); ok {
		return k, true
	}
	if k, ok := errors.AsType[*kerr.Error](err); ok {
		return kafkago.Error(k.Code), true
	}
	return 0, false
}

// subject returns the claim sub of a JSON Web Token, from which brokers derive the principal, or nil. The token is not
// verified: that is the task of the brokers.
func subject(token string) *string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	claims, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return nil
	}
	var c struct {
		Subject string `json:"sub"`
	}
	if json.Unmarshal(claims, &c) != nil || c.Subject == "" {
		return nil
	}
	return &c.Subject
}
