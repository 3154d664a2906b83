package stream

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// topicFile is the message that is being read.
type topicFile struct {
	name, path string
	id         string // the message's event id
	named      bool   // by its producer
	stream     string // topic/partition
	offset     int64
	src        ingest.Source
	count      uint64
	ahead      *lookahead
	failed     error // the first fault of an item
	add        func(ingest.Sample) pipeline.Delivery[ingest.Sample]
	end        func(error)
}

// lookahead is what the source gave before it was asked for.
type lookahead struct {
	sample ingest.Sample
	err    error
}

// next gives the next sample, named so that the message read a second time gives the same names. A message of one
// sample, which no producer named, is one of its partition's stream: topic/partition/offset. So those of a camera
// stay in order, and travel in batches. Other messages are streams of their own: event id/sample.
func (f *topicFile) next(ctx context.Context) (ingest.Sample, error) {
	at, err := f.take(ctx)
	if err != nil {
		return at, err
	}
	if f.count == 0 && !f.named {
		second, err := f.take(ctx)
		if ctx.Err() != nil {
			return second, ctx.Err()
		}
		f.ahead = &lookahead{second, err}
		if errors.Is(err, io.EOF) {
			at.Stream, at.Seq = f.stream, uint64(f.offset) //nolint:gosec // offsets begin at 0
			f.count++
			return at, nil
		}
	}
	at.Stream, at.Seq = f.id, f.count
	f.count++
	return at, nil
}

func (f *topicFile) take(ctx context.Context) (ingest.Sample, error) {
	if a := f.ahead; a != nil {
		f.ahead = nil
		return a.sample, a.err
	}
	return f.src.Read(ctx)
}

// close ends the file: its message settles with what was wrong with it, if anything, when its samples have settled.
func (f *topicFile) close() error {
	err := errors.Join(f.src.Close(), os.Remove(f.path))
	switch {
	case err != nil:
		f.end(err)
	case f.failed != nil:
		f.end(f.fault(f.failed))
	default:
		f.end(nil)
	}
	return err
}

// fault is an error of the message's content, without the name of the file that it was for a while.
func (f *topicFile) fault(err error) error {
	err = errors.New(strings.ReplaceAll(err.Error(), f.path, f.name))
	return pipeline.Permanent(&pipeline.Failure{Stage: ingestStage, Attempts: 1, Err: err})
}

// maxName bounds the names that a message brings along.
const maxName = 200

func printable(s string) bool {
	hidden := func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }
	return s != "" && len(s) <= maxName && !strings.ContainsFunc(s, hidden)
}

// eventID is the message's id, and whether it has one from its producer. One that cannot be shown does not count.
func eventID(m transport.Message) (id string, named bool) {
	if id, _ := m.Header(transport.HeaderEventID); printable(id) {
		return id, true
	}
	m.Headers = nil
	return m.EventID(), false
}

// fileName is the name of a message's file: that of the header name, or its key, where that can be one. The format is
// found from the content; the name's extension helps where that is ambiguous.
func fileName(m transport.Message) string {
	name, _ := m.Header("name")
	for _, n := range []string{name, string(m.Key)} {
		if printable(n) && filepath.IsLocal(n) && n != "." && !strings.ContainsAny(n, `/\`) {
			return n
		}
	}
	return "message"
}
