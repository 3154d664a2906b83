package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/voxelstream/voxelstream/ingest"
)

// ErrSkipped reports that a command finished, but skipped some items. It accompanies a result.
var ErrSkipped = errors.New("skipped some items")

// Skips logs the items of an input that are skipped, in one line per file.
type Skips struct {
	log *slog.Logger
	// Since the last line: the stream, how many of its items, and the error of the first.
	stream string
	count  int
	first  error

	total, lines int
}

// Skips starts to count.
func (a *Env) Skips() *Skips { return &Skips{log: a.Log} }

// maxSkipLines limits the lines about skipped items of one command: a folder may have thousands of unreadable files.
// The rest is logged at debug level.
const maxSkipLines = 20

// Add counts an item that is skipped because of err.
func (s *Skips) Add(err error) {
	stream := ""
	if item, ok := errors.AsType[*ingest.ItemError](err); ok {
		stream, err = item.Stream, fmt.Errorf("%v: %w", item.ID, item.Err)
	}
	if s.count > 0 && stream != s.stream {
		s.flush()
	}
	if s.count == 0 {
		s.stream, s.first = stream, err
	}
	s.count++
	s.total++
}

func (s *Skips) flush() {
	level := slog.LevelError
	if s.lines++; s.lines > maxSkipLines {
		level = slog.LevelDebug
	}
	if s.count == 1 {
		s.log.Log(context.Background(), level, "skipped an item", "error", s.first)
	} else {
		s.log.Log(context.Background(), level, "skipped items", "count", s.count, "first error", s.first)
	}
	s.count = 0
}

// None logs what is not logged yet and returns the error of an input of which nothing could be used: the only error if
// there was one, which is then not logged.
func (s *Skips) None(input, noun string) error {
	if s.total == 1 {
		return s.first
	}
	s.Flush()
	if s.total == 0 {
		return fmt.Errorf("%s: found no %s", input, noun)
	}
	return fmt.Errorf("%s: skipped all of %s", input, Count(s.total, noun))
}

// Done logs what is not logged yet. If anything was skipped, it returns an error that wraps [ErrSkipped]; noun names
// an item.
func (s *Skips) Done(input, noun string) error {
	s.Flush()
	if s.total == 0 {
		return nil
	}
	return &skippedError{fmt.Sprintf("%s: skipped %s", input, Count(s.total, noun))}
}

// Flush logs what is not logged yet.
func (s *Skips) Flush() {
	if s.count > 0 {
		s.flush()
	}
	if more := s.lines - maxSkipLines; more > 0 {
		s.log.Error("skipped items of more files; --log-level debug shows the reasons", "files", more)
	}
}

// SkippedSome returns an error with a text that is [ErrSkipped].
func SkippedSome(text string) error { return &skippedError{text} }

type skippedError struct{ text string }

func (e *skippedError) Error() string        { return e.text }
func (e *skippedError) Is(target error) bool { return target == ErrSkipped }
