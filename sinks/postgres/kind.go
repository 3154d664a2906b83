package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/sinks"
)

// Kind is a table in a PostgreSQL database.
var Kind = sinks.Kind{
	Name:    "postgres",
	Schemes: []string{"postgresql"},
	Doc: "A table in a PostgreSQL database (version 9.5 or newer). The part before the question mark is a connection " +
		"URL in libpq's form, with percent-encoding. What it leaves out comes from libpq's environment variables and " +
		"password file (`PGHOST`, `PGPASSWORD`, `~/.pgpass` and so on).\n\n" +
		"The table has one row per classification and the primary key (`event_id`, `model_digest`). A flush copies " +
		"the rows to a temporary table and inserts those with new keys, in one transaction, so any number of " +
		"processes may write to the same table. A row that the table cannot hold, for example because of a " +
		"constraint, becomes a dead letter; the other rows are stored. Times are stored with microseconds.\n\n" +
		"The table is created if it does not exist, and a newer release of Voxelstream adds its columns. Versions " +
		"are recorded in the table `voxelstream_migrations` in the same schema. With `create=false`, the table must " +
		"exist. These are its columns:\n\n" +
		"```sql\n" + definition("classifications") + ";\n```\n\n" +
		"The role needs the privileges INSERT and SELECT on the table, and TEMPORARY on the database.",
	Guarantee: sinks.ExactlyOnce,
	Path:      "//[USER@]HOST[:PORT]/DATABASE",
	Options: func(sinks.Target) any {
		return &Options{
			Table: "classifications", Create: true, ConnectTimeout: 10 * time.Second, Timeout: time.Minute,
			ApplicationName: "voxelstream",
		}
	},
	Flush:   &sinks.Flush{},
	Resolve: resolve,
	Open: func(ctx context.Context, t sinks.Target, options any, services sinks.Services) (sinks.Sink, error) {
		s, err := Open(ctx, t.Path, *options.(*Options))
		if err != nil {
			return nil, err
		}
		if services.Repeated != nil {
			s.report = services.Repeated
		}
		return s, nil
	},
}

// Options are the options of the table and of the connection.
type Options struct {
	Table  string `yaml:"table" required:"true" doc:"Name of the table, or SCHEMA.TABLE. Case matters."`
	Create bool   `yaml:"create" doc:"Create the table, or add missing columns, if necessary."`

	Password           string        `yaml:"password" secret:"true" doc:"Password, in place of the one in the URL."`
	Host               string        `yaml:"host" doc:"Folder of the server's Unix socket, or a host, if the URL has no host."`
	SSLMode            string        `yaml:"sslmode" doc:"One of disable, allow, prefer, require, verify-ca, verify-full. libpq's default is prefer, which neither requires TLS nor verifies the server."`
	SSLRootCert        string        `yaml:"sslrootcert" doc:"File with the CA certificates used to verify the server, or the word system for those of the system."`
	SSLCert            string        `yaml:"sslcert" doc:"File with the client's certificate."`
	SSLKey             string        `yaml:"sslkey" doc:"File with the private key of the client's certificate."`
	SSLPassword        string        `yaml:"sslpassword" secret:"true" doc:"Password of the private key."`
	TargetSessionAttrs string        `yaml:"target_session_attrs" doc:"Kind of server to connect to, if the URL has several hosts. One of any, read-write, read-only, primary, standby, prefer-standby."`
	ApplicationName    string        `yaml:"application_name" doc:"Name of the connection in the server's views and logs."`
	ConnectTimeout     time.Duration `yaml:"connect_timeout" unit:"s" min:"1s" max:"1h" doc:"Maximum time to connect to a host."`
	Timeout            time.Duration `yaml:"timeout" above:"0s" doc:"Maximum time for a transaction, including the time to connect."`
}

// Validate checks the name of the table, and what libpq would otherwise check when it connects.
func (o *Options) Validate() error {
	_, err := parseName(o.Table)
	if err != nil {
		err = fmt.Errorf("table: %w", err)
	}
	return errors.Join(err,
		oneOf("sslmode", o.SSLMode, "disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
		oneOf("target_session_attrs", o.TargetSessionAttrs, "any", "read-write", "read-only", "primary", "standby",
			"prefer-standby"))
}

// oneOf returns an error if the value of an option is set and not one of the choices. The default of such an option is
// in libpq's environment variable.
func oneOf(name, value string, choices ...string) error {
	if value == "" || slices.Contains(choices, value) {
		return nil
	}
	return fmt.Errorf("%s: found %q%s, want one of %s", name, value, option.DidYouMean(value, choices),
		strings.Join(choices, ", "))
}

// resolve checks the URL. The place is the table in the database, whoever the user is.
func resolve(t *sinks.Target, _ sinks.Defaults) (string, error) {
	rest, ok := strings.CutPrefix(t.Path, "//")
	authority, database, _ := strings.Cut(rest, "/")
	if _, err := url.PathUnescape(rest); !ok || err != nil || strings.ContainsAny(database, "/@") {
		// The text could contain the password.
		return "", errors.New("found an invalid URL, want postgres://USER:PASSWORD@HOST:PORT/DATABASE, in which " +
			"special characters are percent-encoded")
	}
	o := Options{Table: "classifications"}
	_, _ = option.ParseQuery(&o, t.Query) // Parse reports problems
	host := cmp.Or(authority[strings.LastIndexByte(authority, '@')+1:], o.Host)
	return fmt.Sprintf("postgres://%s/%s?table=%s", host, database, url.QueryEscape(o.Table)), nil
}

// connString returns the URL with those options that libpq knows.
func (o *Options) connString(path string) string {
	q := url.Values{"connect_timeout": {fmt.Sprint(int(o.ConnectTimeout.Seconds()))}}
	for name, value := range map[string]string{
		"password": o.Password, "host": o.Host, "sslmode": o.SSLMode, "sslrootcert": o.SSLRootCert,
		"sslcert": o.SSLCert, "sslkey": o.SSLKey, "sslpassword": o.SSLPassword,
		"target_session_attrs": o.TargetSessionAttrs, "application_name": o.ApplicationName,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	// libpq does not take a plus sign for a space.
	return "postgres:" + path + "?" + strings.ReplaceAll(q.Encode(), "+", "%20")
}
