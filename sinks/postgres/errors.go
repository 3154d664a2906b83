package postgres

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// advice is what to do about errors, by SQLSTATE or its class, the first two characters.
// The codes are those of appendix A of PostgreSQL's manual.
var advice = map[string]string{
	"28":    "check user and password",
	"25006": "the server is read-only; with several hosts, use target-session-attrs=read-write",
	"3D000": "create the database",
	"3F000": "create the schema",
	"42P01": "create the table, or let create=true do it",
	"42703": "add the column to the table, or let create=true make a new table",
	"42P10": "the table needs a primary key or a unique index on (event_id, model_digest)",
	"42501": "grant the role INSERT and SELECT on the table, and TEMPORARY on the database; with create=true, also " +
		"CREATE on the schema",
	"53100": "free space on the server's disk",
	"53300": "raise max_connections, or use fewer connections",
}

// explained returns an error in one line: the message of the server or of the network, and what to do about it. It
// wraps err.
func explained(err error) error {
	text := strings.Join(strings.Fields(err.Error()), " ")
	if server, ok := errors.AsType[*pgconn.PgError](err); ok {
		text = ofServer(server)
	} else if network, ok := errors.AsType[*net.OpError](err); ok && network.Addr != nil {
		text = fmt.Sprintf("%s: %v", network.Addr, innermost(network))
	} else if errors.Is(err, io.ErrUnexpectedEOF) {
		text = "the server has closed the connection"
	} else if setting, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
		// Its text has the URL.
		text = "found an invalid host, port or user in the URL"
		if cause := setting.Unwrap(); cause != nil {
			text = cause.Error()
		}
	}
	return &explainedError{text, err}
}

// ofServer returns the text of a server's error.
func ofServer(e *pgconn.PgError) string {
	text := fmt.Sprintf("%s (SQLSTATE %s)", e.Message, e.Code)
	if e.Detail != "" {
		text += ": " + strings.TrimSuffix(e.Detail, ".")
	}
	help, ok := advice[e.Code]
	if !ok && len(e.Code) == 5 {
		help, ok = advice[e.Code[:2]]
	}
	if ok {
		text += "; " + help
	}
	return text
}

func innermost(err error) error {
	for {
		cause := errors.Unwrap(err)
		if cause == nil {
			return err
		}
		err = cause
	}
}

type explainedError struct {
	text string
	err  error
}

func (e *explainedError) Error() string { return e.text }
func (e *explainedError) Unwrap() error { return e.err }

// atFault reports whether a value, and not the table or the server, is the cause of an error: a data exception, a
// violated constraint or check option, a value that is too large for an index, or an exception of a trigger.
func atFault(err error) bool {
	server, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	switch server.Code {
	case "54000", "P0001", "44000":
		return true
	}
	return strings.HasPrefix(server.Code, "22") || strings.HasPrefix(server.Code, "23")
}
