// Package postgres stores classifications in a table of a PostgreSQL database, each once.
package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// Sink holds rows back until it is flushed. It is not safe for concurrent use.
type Sink struct {
	config  *pgconn.Config
	table   name
	timeout time.Duration
	conn    *pgconn.PgConn // nil, or closed, after a failure
	// report is called for each classification that the table holds already.
	report func(record.ID)

	// accepted counts the classifications since the last flush. rows are those of them that are still to be stored, in
	// the binary format of COPY in data. held has the keys of all of them.
	accepted int
	rows     []row
	data     []byte
	held     map[dedupe.Key]struct{}
	// failed has the errors of those that cannot be stored, by their positions. repeated are the IDs of those that were
	// there already.
	failed   map[int]error
	repeated []record.ID
}

type row struct {
	// place is the position of the classification among those accepted since the last flush.
	place int
	id    record.ID
	// start and end are those of the row in the data.
	start, end int
}

// Open connects to the database, creates or migrates the table if o says so, and checks that rows can be stored. path
// is a URL without scheme and query: //USER@HOST/DATABASE.
func Open(ctx context.Context, path string, o Options) (*Sink, error) {
	n, err := parseName(o.Table)
	if err != nil {
		return nil, err
	}
	config, err := pgconn.ParseConfig(o.connString(path))
	if err != nil {
		return nil, explained(err)
	}
	s := &Sink{config: config, table: n, timeout: o.Timeout, report: func(record.ID) {}}
	s.reset()
	err = s.try(ctx, func(ctx context.Context) error {
		if !o.Create {
			return nil
		}
		return migrate(ctx, s.conn, n, migrations)
	})
	if err == nil {
		_, err = s.store(ctx, nil)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close(ctx))
	}
	return s, nil
}

// Write accepts classifications. It rejects those that no table could hold.
func (s *Sink) Write(ctx context.Context, cs []record.Classification) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	failed := map[int]error{}
	for i := range cs {
		start := len(s.data)
		data, err := appendRow(s.data, s.accepted, &cs[i])
		if err != nil {
			failed[i] = pipeline.Permanent(err)
			continue
		}
		if key := dedupe.Of(cs[i].Key()); s.has(key) {
			s.repeated = append(s.repeated, cs[i].ID())
		} else {
			s.held[key] = struct{}{}
			s.data = data
			s.rows = append(s.rows, row{s.accepted, cs[i].ID(), start, len(data)})
		}
		s.accepted++
	}
	return pipeline.Partial(failed)
}

func (s *Sink) has(k dedupe.Key) bool {
	_, ok := s.held[k]
	return ok
}

// Flush stores the rows. After a failure, the next call goes on with those that were not stored. Rows at fault are
// found by storing fewer at a time.
func (s *Sink) Flush(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for size := len(s.rows); len(s.rows) > 0; {
		part := s.rows[:min(size, len(s.rows))]
		repeated, err := s.store(ctx, part)
		switch {
		case err == nil:
			for _, i := range repeated {
				s.repeated = append(s.repeated, part[i].id)
			}
		case !atFault(err):
			return err
		case len(part) > 1:
			size = len(part) / 2
			continue
		default:
			s.failed[part[0].place] = pipeline.Permanent(fmt.Errorf("%s: %w", part[0].id, err))
		}
		s.rows = s.rows[len(part):]
		size *= 2
	}
	failed, repeated := s.failed, s.repeated
	s.reset()
	for _, id := range repeated {
		s.report(id)
	}
	return pipeline.Partial(failed)
}

// reset forgets the classifications since the last flush.
func (s *Sink) reset() {
	s.accepted, s.rows, s.data, s.repeated = 0, nil, s.data[:0], nil
	s.held, s.failed = map[dedupe.Key]struct{}{}, map[int]error{}
}

// staging is the temporary table for the rows of a transaction.
const staging = "pg_temp.voxelstream_staging"

// store stores rows in one transaction. It returns the indices of those that the table holds already. Without rows, it
// checks that the table exists, has the columns and the primary key, and that the role has the privileges.
func (s *Sink) store(ctx context.Context, rows []row) (repeated []int, err error) {
	columns := columnList()
	create := fmt.Sprintf("CREATE TEMPORARY TABLE %s (\n    place integer,\n%s\n) ON COMMIT DROP", staging,
		definitions(table.Columns()))
	// Two transactions that insert the same keys in different orders would wait for each other forever.
	insert := fmt.Sprintf("WITH inserted AS (INSERT INTO %s (%s) SELECT %[2]s FROM %s "+
		`ORDER BY event_id COLLATE "C", model_digest COLLATE "C" `+
		"ON CONFLICT (event_id, model_digest) DO NOTHING RETURNING event_id, model_digest) "+
		"SELECT place FROM %[3]s LEFT JOIN inserted USING (event_id, model_digest) WHERE inserted.event_id IS NULL",
		s.table, columns, staging)
	err = s.try(ctx, func(ctx context.Context) error {
		return transaction(ctx, s.conn, func() error {
			if _, err := exec(ctx, s.conn, create); err != nil {
				return err
			}
			if len(rows) > 0 {
				data := bytes.NewReader(s.data[rows[0].start:rows[len(rows)-1].end])
				all := io.MultiReader(strings.NewReader(copyHeader), data, strings.NewReader(copyTrailer))
				copied := fmt.Sprintf("COPY %s (place, %s) FROM STDIN (FORMAT binary)", staging, columns)
				if _, err := s.conn.CopyFrom(ctx, all, copied); err != nil {
					return err
				}
			}
			places, err := exec(ctx, s.conn, insert)
			if err != nil {
				return err
			}
			for _, text := range places {
				place, err := strconv.Atoi(text)
				if err != nil {
					return err
				}
				i, found := slices.BinarySearchFunc(rows, place, func(r row, place int) int { return r.place - place })
				if !found {
					return fmt.Errorf("found the place %d, which was not sent", place)
				}
				repeated = append(repeated, i)
			}
			return nil
		})
	})
	return repeated, err
}

// try calls f with a connection, within the time of a transaction.
func (s *Sink) try(ctx context.Context, f func(ctx context.Context) error) (err error) {
	limited, cancel := context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("found no answer within %v", s.timeout))
	defer cancel()
	if s.conn == nil || s.conn.IsClosed() {
		s.conn, err = pgconn.ConnectConfig(limited, s.config)
	}
	if err == nil {
		err = f(limited)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		return context.Cause(limited)
	}
	return explained(err)
}

// Close closes the connection. Rows that were not flushed are discarded.
func (s *Sink) Close(ctx context.Context) error {
	if s.conn != nil {
		s.conn.Close(ctx) //nolint:errcheck // rows were stored before, so nothing can be lost
	}
	return nil
}

// Header and trailer of the binary format of COPY: a signature, 32 bits of flags, the length of an empty extension; and
// a row of -1 fields.
const (
	copyHeader  = "PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"
	copyTrailer = "\xff\xff"
)

// appendRow appends the row of a classification for the staging table in the binary format of COPY: the number of
// fields, then for each its length, -1 for NULL, and its value, all in network order.
func appendRow(b []byte, place int, c *record.Classification) ([]byte, error) {
	if err := table.Check(c); err != nil {
		return nil, err
	}
	columns := table.Columns()
	b = binary.BigEndian.AppendUint16(b, uint16(1+len(columns)))
	b = binary.BigEndian.AppendUint32(b, 4)
	b = binary.BigEndian.AppendUint32(b, uint32(place))
	for i := range columns {
		length := len(b)
		b = append(b, "\xff\xff\xff\xff"...)
		v := columns[i].Value(c)
		if v == nil {
			continue
		}
		var err error
		if b, err = appendValue(b, v, columns[i].Type); err != nil {
			return nil, fmt.Errorf("%.100q: column %s: %w", c.EventID, columns[i].Name, err)
		}
		binary.BigEndian.PutUint32(b[length:], uint32(len(b)-length-4))
	}
	return b, nil
}

// epoch is PostgreSQL's. firstTime and endOfTime limit its timestamps.
var (
	epoch     = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	firstTime = time.Date(-4712, 1, 1, 0, 0, 0, 0, time.UTC)
	endOfTime = time.Date(294277, 1, 1, 0, 0, 0, 0, time.UTC)
)

func appendValue(b []byte, v any, t table.Type) ([]byte, error) {
	switch v := v.(type) {
	case string:
		if strings.ContainsRune(v, 0) || !utf8.ValidString(v) {
			return nil, fmt.Errorf("found %.100q, want UTF-8 without zero bytes", v)
		}
		if t == table.JSON {
			b = append(b, 1) // version of jsonb's format
		}
		return append(b, v...), nil
	case int32:
		return binary.BigEndian.AppendUint32(b, uint32(v)), nil
	case int64:
		return binary.BigEndian.AppendUint64(b, uint64(v)), nil
	case float32:
		return binary.BigEndian.AppendUint32(b, math.Float32bits(v)), nil
	case float64:
		return binary.BigEndian.AppendUint64(b, math.Float64bits(v)), nil
	case bool:
		if v {
			return append(b, 1), nil
		}
		return append(b, 0), nil
	case time.Time:
		if v.Before(firstTime) || !v.Before(endOfTime) {
			return nil, fmt.Errorf("found the year %d, want -4712 to 294276", v.Year())
		}
		return binary.BigEndian.AppendUint64(b, uint64(v.UnixMicro()-epoch.UnixMicro())), nil
	}
	return nil, fmt.Errorf("found a %T", v)
}
