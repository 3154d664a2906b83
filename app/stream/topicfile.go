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

// topicFile is the message being read.
type topicFile struct {
	name, path string
	id         string // event ID of the message
	named      bool   // the producer set the ID
	stream     string // topic/partition
	offset     int64
	src        ingest.Source
	count      uint64
	ahead      *lookahead
	failed     error // error of the first item that failed
	add        func(ingest.Sample) pipeline.Delivery[ingest.Sample]
	end        func(error)
}

// lookahead is a result of the source that was read in advance.
type lookahead struct {
	sample ingest.Sample
	err    error
}

// next returns the next sample. Its ID is the same whenever the message is read. If the message has one sample and
// the producer did not set an event ID, the ID is topic/partition/offset. The stream is then the partition, so the
// samples of a camera, for example, stay in order and can share a batch. Other messages are streams of their own:
// event ID/sample.
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
			at.Stream, at.Seq = f.stream, uint64(f.offset) // offsets begin at 0
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

// close closes the file. When its samples have settled, the message settles, with the error of the file if there is
// one.
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

// fault returns the permanent error for a message with invalid content. It replaces the path of the temporary file by
// the name in the message.
func (f *topicFile) fault(err error) error {
	err = errors.New(strings.ReplaceAll(err.Error(), f.path, f.name))
	return pipeline.Permanent(&pipeline.Failure{Stage: ingestStage, Attempts: 1, Err: err})
}

// maxName is the maximum length of names in a message.
const maxName = 200

func printable(s string) bool {
	hidden := func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }
	return s != "" && len(s) <= maxName && !strings.ContainsFunc(s, hidden)
}

// eventID returns the event ID of a message, and whether the producer set it. An ID that is not printable is ignored.
func eventID(m transport.Message) (id string, named bool) {
	if id, _ := m.Header(transport.HeaderEventID); printable(id) {
		return id, true
	}
	m.Headers = nil
	return m.EventID(), false
}

// fileName returns the file name for a message: the header "name" or, if that is not a valid file name, the key. The
// format is detected from the content; the extension helps if that is ambiguous.
func fileName(m transport.Message) string {
	name, _ := m.Header("name")
	for _, n := range []string{name, string(m.Key)} {
		if printable(n) && filepath.IsLocal(n) && n != "." && !strings.ContainsAny(n, `/\`) {
			return n
		}
	}
	return "message"
}
