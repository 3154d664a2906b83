package kafka

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/voxelstream/voxelstream/internal/tlsfile"
)

// TLSOptions are the settings for TLS.
type TLSOptions struct {
	Enabled    bool   `yaml:"enabled" doc:"Encrypt connections to the brokers and verify their certificates."`
	CAFile     string `yaml:"ca_file" doc:"PEM file with the CA certificates that the brokers' certificates are verified against. Empty: those of the system."`
	CertFile   string `yaml:"cert_file" doc:"PEM file with the client certificate, for brokers that require one."`
	KeyFile    string `yaml:"key_file" doc:"PEM file with the unencrypted private key of cert_file."`
	ServerName string `yaml:"server_name" doc:"Name that the brokers' certificates must have. Empty: the host of each broker's address."`
}

// Validate returns an error for settings that contradict each other. It reads no files.
func (o TLSOptions) Validate() error {
	var problems []error
	if !o.Enabled && (o.CAFile != "" || o.CertFile != "" || o.KeyFile != "" || o.ServerName != "") {
		problems = append(problems, errors.New("enabled: found false with other settings of tls, want true"))
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		problems = append(problems, fmt.Errorf("cert_file, key_file: found %q and %q, want both or none",
			o.CertFile, o.KeyFile))
	}
	return errors.Join(problems...)
}

// Load reads the certificates. It returns nil if TLS is disabled. The error names the file.
func (o TLSOptions) Load() (*tls.Config, error) {
	if !o.Enabled {
		return nil, nil //nolint:nilnil // no TLS is a valid configuration
	}
	files := tlsfile.Options{CAFile: o.CAFile, CertFile: o.CertFile, KeyFile: o.KeyFile}
	c, err := files.Load()
	if err != nil {
		return nil, fmt.Errorf("tls.%w", err)
	}
	c.ServerName = o.ServerName
	return c, nil
}

// SASLOptions are the settings for SASL authentication.
type SASLOptions struct {
	Mechanism    string `yaml:"mechanism" enum:"none,plain,scram-sha-256,scram-sha-512" doc:"SASL mechanism. none: no authentication."`
	User         string `yaml:"user" doc:"User name."`
	Password     string `yaml:"password" secret:"true" doc:"Password. Prefer password_file, or the environment."`
	PasswordFile string `yaml:"password_file" doc:"File with the password. A line break at its end is ignored."`
}

// noSASL is the mechanism that disables authentication.
const noSASL = "none"

// Validate returns an error for settings that contradict each other. It reads no files.
func (o SASLOptions) Validate() error {
	switch none := o.Mechanism == noSASL || o.Mechanism == ""; {
	case none && (o.User != "" || o.Password != "" || o.PasswordFile != ""):
		return errors.New("mechanism: found none with a user or a password, want plain, scram-sha-256 or scram-sha-512")
	case none:
	case o.User == "":
		return fmt.Errorf("user: found %q, want a name for the mechanism %s", o.User, o.Mechanism)
	case (o.Password == "") == (o.PasswordFile == ""):
		return errors.New("password, password_file: want exactly one of them")
	}
	return nil
}

// Load returns the credentials, with the password read from its file. It returns nil if SASL is disabled.
func (o SASLOptions) Load() (*SASL, error) {
	if o.Mechanism == noSASL || o.Mechanism == "" {
		return nil, nil //nolint:nilnil // no SASL is a valid configuration
	}
	s := &SASL{Mechanism: o.Mechanism, User: o.User, Password: o.Password}
	if o.PasswordFile != "" {
		text, err := tlsfile.Read(o.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("sasl.password_file: %w", err)
		}
		if s.Password = string(bytes.TrimRight(text, "\r\n")); s.Password == "" {
			return nil, fmt.Errorf("sasl.password_file: %s: found an empty file, want the password", o.PasswordFile)
		}
	}
	return s, nil
}

// SASL holds the credentials for SASL.
type SASL struct {
	// Mechanism is "plain", "scram-sha-256" or "scram-sha-512".
	Mechanism, User string
	Password        string `json:"-"`
}

// String returns the mechanism and the user, without the password.
func (s SASL) String() string { return s.Mechanism + " as " + s.User }

// GoString is the same as String.
func (s SASL) GoString() string { return s.String() }

func (s *SASL) mechanism() (*handshakes, error) {
	if s == nil {
		return nil, nil //nolint:nilnil // no SASL is a valid configuration
	}
	var m sasl.Mechanism
	var err error
	switch s.Mechanism {
	case "plain":
		m = plain.Mechanism{Username: s.User, Password: s.Password}
	case "scram-sha-256":
		m, err = scram.Mechanism(scram.SHA256, s.User, s.Password)
	case "scram-sha-512":
		m, err = scram.Mechanism(scram.SHA512, s.User, s.Password)
	default:
		err = fmt.Errorf("found %q, want plain, scram-sha-256 or scram-sha-512", s.Mechanism)
	}
	if err != nil {
		return nil, fmt.Errorf("kafka: SASL mechanism: %w", err)
	}
	return &handshakes{Mechanism: m}, nil
}

// handshakes is a mechanism that tracks whether an authentication is in progress. Some brokers close the connection
// after a wrong password, and kafka-go reports that like any other closed connection.
type handshakes struct {
	sasl.Mechanism
	open atomic.Bool
}

// Start begins an authentication.
func (h *handshakes) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	h.open.Store(true)
	s, first, err := h.Mechanism.Start(ctx)
	return handshake{s, h}, first, err
}

type handshake struct {
	sasl.StateMachine
	of *handshakes
}

// Next continues the authentication.
func (s handshake) Next(ctx context.Context, challenge []byte) (done bool, response []byte, err error) {
	done, response, err = s.StateMachine.Next(ctx, challenge)
	if done && err == nil {
		s.of.open.Store(false)
	}
	return done, response, err
}

// ErrAccess is wrapped by the error of a connection that either side refused because of a certificate or the password.
// Retrying does not help.
var ErrAccess = errors.New("access refused")

// closedError is the error of a connection that the broker closed, with the likely cause.
type closedError struct {
	reason string
	err    error
}

func (e *closedError) Error() string {
	return "the broker closed the connection; " + e.reason + ": " + e.err.Error()
}

func (e *closedError) Unwrap() error { return e.err }

// explain adds an explanation to a connection error that is probably caused by the TLS or SASL settings. It has no
// effect on an error that it has already explained.
func (c *Client) explain(err error) error {
	if err == nil || errors.Is(err, ErrAccess) {
		return err
	}
	if _, ok := errors.AsType[*closedError](err); ok {
		return err
	}
	refused := func(why string) error { return fmt.Errorf("%w: %s: %w", ErrAccess, why, err) }
	ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
	user := c.cfg.SASL
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return refused("the broker's certificate is not trusted; check ca_file and server_name")
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return refused("the broker does not speak TLS at this address")
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" { // a TLS alert from the broker
		return refused("the broker refused TLS; it may require another client certificate (cert_file, key_file)")
	}
	switch {
	case is(err, kafkago.SASLAuthenticationFailed), ended && user != nil && c.handshakes.open.Load():
		return refused(fmt.Sprintf("authentication failed (SASL %v); check user and password", user))
	case is(err, kafkago.UnsupportedSASLMechanism):
		return refused(fmt.Sprintf("the broker does not offer the SASL mechanism %s", user.Mechanism))
	case is(err, kafkago.IllegalSASLState):
		return refused("the broker does not use SASL at this address")
	case ended && c.cfg.TLS != nil && !c.answered.Load():
		return &closedError{"it may not speak TLS at this address", err}
	case ended && c.cfg.TLS == nil && !c.answered.Load():
		return &closedError{"it may require TLS or SASL", err}
	}
	return err
}
