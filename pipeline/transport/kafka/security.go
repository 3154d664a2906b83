package kafka

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/voxelstream/voxelstream/internal/tlsfile"
)

// TLSOptions are the settings for TLS.
type TLSOptions struct {
	Enabled    bool   `yaml:"enabled" doc:"Encrypt connections to the brokers and verify their certificates."`
	CAFile     string `yaml:"ca_file" doc:"PEM file with the CA certificates used to verify the brokers. Empty: those of the system. All TLS files are read again for each connection."`
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
func (o TLSOptions) Load() (*TLS, error) {
	if !o.Enabled {
		return nil, nil //nolint:nilnil // no TLS is a valid configuration
	}
	files, err := (&tlsfile.Options{CAFile: o.CAFile, CertFile: o.CertFile, KeyFile: o.KeyFile}).Open()
	if err != nil {
		return nil, fmt.Errorf("tls.%w", err)
	}
	return &TLS{files: files, serverName: o.ServerName}, nil
}

// TLS encrypts connections. Each connection uses the certificates that are in the files when it is opened.
type TLS struct {
	files      *tlsfile.Files
	serverName string
}

// client returns the settings of a connection to an address.
func (t *TLS) client(address string, log *slog.Logger) *tls.Config {
	c := t.files.Config(log).Clone()
	if c.ServerName = t.serverName; c.ServerName == "" {
		if host, _, err := net.SplitHostPort(address); err == nil {
			c.ServerName = host
		}
	}
	return c
}

// principal returns the principal that Kafka derives from the client certificate, or an empty text if there is none.
func (t *TLS) principal(log *slog.Logger) string {
	c := t.files.Config(log)
	if len(c.Certificates) == 0 || c.Certificates[0].Leaf == nil {
		return ""
	}
	return "User:" + c.Certificates[0].Leaf.Subject.String()
}

// SASLOptions are the settings for SASL authentication.
type SASLOptions struct {
	Mechanism    string `yaml:"mechanism" enum:"none,plain,scram-sha-256,scram-sha-512,oauthbearer" doc:"SASL mechanism. none: no authentication."`
	User         string `yaml:"user" doc:"User name for plain, scram-sha-256 and scram-sha-512."`
	Password     string `yaml:"password" secret:"true" doc:"Password. Prefer password_file, or the environment."`
	PasswordFile string `yaml:"password_file" doc:"File with the password. A line break at its end is ignored. It is read again for each connection."`

	TokenFile        string   `yaml:"token_file" doc:"File with the token for oauthbearer. Another program must renew it. It is read again for each connection."`
	TokenEndpoint    string   `yaml:"token_endpoint" doc:"https:// URL from which oauthbearer fetches tokens with the client credentials flow of OAuth 2.0; http:// is accepted for localhost and loopback addresses. Tokens are renewed before they expire."`
	TokenCAFile      string   `yaml:"token_ca_file" doc:"PEM file with the CA certificates used to verify token_endpoint. Empty: those of the system."`
	ClientID         string   `yaml:"client_id" doc:"Client ID for token_endpoint."`
	ClientSecret     string   `yaml:"client_secret" secret:"true" doc:"Client secret for token_endpoint. Prefer client_secret_file, or the environment."`
	ClientSecretFile string   `yaml:"client_secret_file" doc:"File with the client secret. A line break at its end is ignored. It is read again for each token."`
	Scopes           []string `yaml:"scopes" doc:"Scopes to request from token_endpoint."`
	Audience         string   `yaml:"audience" doc:"Audience to request from token_endpoint, for servers that require one."`
	Extensions       []string `yaml:"extensions" doc:"SASL extensions that oauthbearer sends to the brokers, as NAME=VALUE, for example logicalCluster=lkc-1."`
}

// isLoopback reports whether a host is this machine by its name or address alone.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// noSASL is the mechanism that disables authentication.
const noSASL = "none"

// Validate returns an error for settings that contradict each other. It reads no files.
func (o SASLOptions) Validate() error {
	password := o.User != "" || o.Password != "" || o.PasswordFile != ""
	token := o.TokenFile != "" || o.TokenEndpoint != "" || o.TokenCAFile != "" || o.ClientID != "" ||
		o.ClientSecret != "" || o.ClientSecretFile != "" || len(o.Scopes) > 0 || o.Audience != "" || len(o.Extensions) > 0
	switch {
	case o.Mechanism == noSASL || o.Mechanism == "":
		if password {
			return errors.New("mechanism: found none together with a user or a password, want plain, scram-sha-256 or " +
				"scram-sha-512")
		}
		if token {
			return errors.New("mechanism: found none together with settings for tokens, want oauthbearer")
		}
		return nil
	case o.Mechanism == oauthBearer:
		if password {
			return errors.New("user, password, password_file: found with the mechanism oauthbearer, which uses none of them")
		}
		return o.validateToken()
	case token:
		return fmt.Errorf("mechanism: found %s together with settings for tokens, want oauthbearer", o.Mechanism)
	case o.User == "":
		return fmt.Errorf("user: found %q, want a name for the mechanism %s", o.User, o.Mechanism)
	case (o.Password == "") == (o.PasswordFile == ""):
		return errors.New("password, password_file: want exactly one of them")
	}
	return nil
}

func (o SASLOptions) validateToken() error {
	for _, e := range o.Extensions {
		name, _, ok := strings.Cut(e, "=")
		if !ok || name == "" || name == "auth" || strings.Contains(e, "\x01") {
			return fmt.Errorf("extensions: found %q, want NAME=VALUE with a name other than auth", e)
		}
	}
	if (o.TokenFile == "") == (o.TokenEndpoint == "") {
		return errors.New("token_file, token_endpoint: want exactly one of them")
	}
	client := o.ClientID != "" || o.ClientSecret != "" || o.ClientSecretFile != ""
	if o.TokenFile != "" {
		if client || o.TokenCAFile != "" || len(o.Scopes) > 0 || o.Audience != "" {
			return errors.New("token_file, token_endpoint: found settings for both, want one of them")
		}
		return nil
	}
	u, err := url.Parse(o.TokenEndpoint)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return errors.New("token_endpoint: want an https:// URL without credentials")
	}
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return fmt.Errorf("token_endpoint: found http:// and the host %q, want https://, so that nobody can read the client "+
			"secret on the way", u.Hostname())
	}
	if o.ClientID == "" {
		return errors.New("client_id: want the client ID for token_endpoint")
	}
	if (o.ClientSecret == "") == (o.ClientSecretFile == "") {
		return errors.New("client_secret, client_secret_file: want exactly one of them")
	}
	return nil
}

// Load returns the credentials, with the password or token read from its file. It returns nil if SASL is disabled. It
// fetches no token.
func (o SASLOptions) Load() (*SASL, error) {
	if o.Mechanism == noSASL || o.Mechanism == "" {
		return nil, nil //nolint:nilnil // no SASL is a valid configuration
	}
	s := &SASL{name: o.Mechanism, user: o.User, subject: new(atomic.Pointer[string])}
	var err error
	if o.Mechanism != oauthBearer {
		if s.password, err = tlsfile.NewSecret(o.Password, o.PasswordFile); err != nil {
			return nil, fmt.Errorf("sasl.password_file: %w", err)
		}
		return s, nil
	}
	s.extensions = map[string]string{}
	for _, e := range o.Extensions {
		name, value, _ := strings.Cut(e, "=")
		s.extensions[name] = value
	}
	if o.TokenFile != "" {
		f, err := tlsfile.NewSecret("", o.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("sasl.token_file: %w", err)
		}
		s.tokens = tokenFile{f}
		return s, nil
	}
	if s.tokens, err = newTokenEndpoint(o); err != nil {
		return nil, fmt.Errorf("sasl.%w", err)
	}
	return s, nil
}

// SASL holds the credentials for SASL. [SASLOptions.Load] makes it.
type SASL struct {
	name       string          // of the mechanism, as in the options
	user       string          // except for oauthbearer
	password   *tlsfile.Secret // except for oauthbearer
	tokens     tokens          // for oauthbearer
	extensions map[string]string
	subject    *atomic.Pointer[string] // of the last token, if it is a JSON Web Token
}

// Unencrypted reports whether the mechanism sends the password or token unencrypted.
func (s *SASL) Unencrypted() bool { return s.name == "plain" || s.name == oauthBearer }

// String returns the mechanism and the user, without the password.
func (s SASL) String() string {
	if s.user == "" {
		return s.name
	}
	return s.name + " as " + s.user
}

// GoString is the same as String.
func (s SASL) GoString() string { return s.String() }

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
	if err == nil || errors.Is(err, ErrAccess) || isDenied(err) {
		return err
	}
	if code, ok := codeOf(err); ok && resources[code].name != "" {
		return c.denied([]right{{code: code, operation: "All"}})
	}
	if _, ok := errors.AsType[*closedError](err); ok || Absent(err) {
		return err
	}
	if why := whyAbsent(err); why != "" {
		return &absentError{why, err}
	}
	refused := func(why string) error { return fmt.Errorf("%w: %s: %w", ErrAccess, why, err) }
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return refused("the broker's certificate is not trusted; check ca_file and server_name")
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return refused("the broker does not speak TLS at this address")
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" { // a TLS alert from the broker
		return refused("the broker refused TLS; it may require another client certificate (cert_file, key_file)")
	}
	ended, user := hasEnded(err), c.cfg.SASL
	_, authenticating := errors.AsType[*authEnded](err)
	switch {
	case user != nil && (coded(err, kafkago.SASLAuthenticationFailed) || authenticating):
		return refused(fmt.Sprintf("authentication failed (SASL %v); check %s", user, user.settings()))
	case user != nil && coded(err, kafkago.UnsupportedSASLMechanism):
		return refused(fmt.Sprintf("the broker does not offer the SASL mechanism %s", user.name))
	case coded(err, kafkago.IllegalSASLState):
		return refused("the broker does not use SASL at this address")
	case ended && c.cfg.TLS != nil && !c.answered.Load():
		return &closedError{"it may not speak TLS at this address", err}
	case ended && c.cfg.TLS == nil && !c.answered.Load():
		return &closedError{"it may require TLS or SASL", err}
	}
	return err
}

// settings names what to check after a failed authentication.
func (s *SASL) settings() string {
	if s.name == oauthBearer {
		return "the token, its audience and its expiry"
	}
	return "user and password"
}

// coded reports whether err is or wraps one of the codes, as an error of either client library.
func coded(err error, codes ...kafkago.Error) bool {
	code, ok := codeOf(err)
	return ok && slices.Contains(codes, code)
}
