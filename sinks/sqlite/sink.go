package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/voxelstream/voxelstream/internal/durable"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
)

// Sink inserts into a table. It is not safe for concurrent use.
type Sink struct {
	path     string
	o        Options
	services sinks.Services

	d      *database   // nil after the database could not be opened again
	opened os.FileInfo // of the file
}

// open opens or creates a database.
func open(ctx context.Context, path string, o Options, services sinks.Services) (*Sink, error) {
	if err := durable.MkdirAll(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if services.Log == nil {
		services.Log = slog.New(slog.DiscardHandler)
	}
	s := &Sink{path: path, o: o, services: services}
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// pragmas are those of the sink: a program that only reads for a moment is waited for, and a transaction is durable
// when it has been committed.
const pragmas = "_pragma=busy_timeout(1000)&_pragma=synchronous(FULL)&_pragma=trusted_schema(0)&" +
	"_pragma=cache_size(-16384)"

func (s *Sink) open(ctx context.Context) (err error) {
	if s.d, err = connect(ctx, s.path, pragmas); err != nil {
		s.d = nil
		return err
	}
	err = s.transaction(ctx, func() error { return s.d.prepareSchema(ctx, s.o.Table) })
	if err == nil {
		// Not before it is known to be ours, because this changes the file.
		err = s.d.exec(ctx, "PRAGMA journal_mode=WAL")
	}
	if err == nil {
		err = s.d.prepareInsert(ctx, s.o.Table)
	}
	if err == nil {
		s.opened, err = os.Stat(s.path)
	}
	if err != nil {
		return errors.Join(err, s.Close(ctx))
	}
	return nil
}

// transaction calls f in a transaction.
func (s *Sink) transaction(ctx context.Context, f func() error) error {
	if err := s.d.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := f()
	if err == nil {
		err = s.d.exec(ctx, "COMMIT")
	}
	if err != nil {
		// Some errors have ended the transaction, so that this fails.
		_ = s.d.exec(context.WithoutCancel(ctx), "ROLLBACK")
	}
	return err
}

// moved reports whether the file has been renamed or removed.
func (s *Sink) moved() bool {
	info, err := os.Stat(s.path)
	return errors.Is(err, os.ErrNotExist) || err == nil && !os.SameFile(info, s.opened)
}

// Write inserts the classifications that the table does not hold, all of them or none.
func (s *Sink) Write(ctx context.Context, cs []record.Classification) error {
	if err := ctx.Err(); err != nil || len(cs) == 0 {
		return err
	}
	if s.d != nil && s.moved() {
		s.services.Log.Warn("the database was renamed or removed by another program; writing to a new one",
			"file", s.path)
		if err := s.Close(ctx); err != nil {
			return err
		}
	}
	if s.d == nil {
		if err := s.open(ctx); err != nil {
			return err
		}
	}
	failed := map[int]error{}
	var repeated []int
	err := s.transaction(ctx, func() error {
		for i := range cs {
			fresh, err := s.d.add(ctx, &cs[i])
			switch {
			case pipeline.IsPermanent(err):
				failed[i] = err
			case err != nil:
				return err
			case !fresh:
				repeated = append(repeated, i)
			}
		}
		return nil
	})
	if err == nil && s.moved() {
		err = fmt.Errorf("%s was renamed or removed while it was written to", filepath.Base(s.path))
	}
	if err != nil {
		return err
	}
	for _, i := range repeated {
		s.services.Repeat(&cs[i])
	}
	return pipeline.Partial(failed)
}

// Close closes the database.
func (s *Sink) Close(context.Context) error {
	if s.d == nil {
		return nil
	}
	d := s.d
	s.d = nil
	return d.close()
}
