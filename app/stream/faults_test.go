package stream

import (
	"context"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/transient"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/record"
)

// script is a source whose Reads return its errors in turn; nil stands for a sample.
type script struct {
	errs []error
	next uint64
}

func (s *script) Read(context.Context) (ingest.Sample, error) {
	if len(s.errs) == 0 {
		return ingest.Sample{}, io.EOF
	}
	err := s.errs[0]
	s.errs = s.errs[1:]
	if err != nil {
		return ingest.Sample{}, err
	}
	s.next++
	return ingest.Sample{ID: record.ID{Stream: "s", Seq: s.next - 1}}, nil
}

func (*script) Close() error { return nil }

// reading reads a script as an input to its end, and returns the number of samples and dead letters, and the error.
func reading(t *testing.T, address string, errs ...error) (samples, letters int, err error) {
	t.Helper()
	topic := &deadTopic{}
	open := func(context.Context, input.Input) (ingest.Source, error) { return &script{errs: errs}, nil }
	src := newSequence(t.Context(), apptest.New(t), parse(t, address), &input.Files{}, open, topic.writer())
	for {
		var d interface{ Settle(error) }
		if d, err = src.Read(t.Context()); err != nil {
			break
		}
		d.Settle(nil)
		samples++
	}
	if cerr := src.Close(t.Context()); cerr != nil {
		t.Error(cerr)
	}
	return samples, len(topic.ms), err
}

// TestLiveFails: a live source is read again after an error that may pass. One that stays, and an end, end the program
// with an error that names the source; none is a dead letter.
func TestLiveFails(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		damaged := errors.New("damaged")
		item := &ingest.ItemError{ID: record.ID{Stream: "s", Seq: 7}, Err: syscall.EIO}
		for _, c := range []struct {
			errs             []error
			samples, letters int
			want             error
		}{
			{[]error{nil, syscall.EMFILE, nil, syscall.EACCES, syscall.EIO, nil, damaged}, 3, 0, damaged},
			{[]error{transient.Mark(syscall.ENOENT), nil, damaged}, 1, 0, damaged},
			{[]error{syscall.ENOENT}, 0, 0, syscall.ENOENT},
			{[]error{nil, item, nil, damaged}, 2, 1, damaged},
			{append(make([]error, 2), damaged, nil), 2, 0, damaged},
		} {
			samples, letters, err := reading(t, "watch://"+dir, c.errs...)
			if samples != c.samples || letters != c.letters || !errors.Is(err, c.want) ||
				!strings.Contains(err.Error(), dir) {
				t.Errorf("%v: found %d samples, %d dead letters, %v", c.errs, samples, letters, err)
			}
		}
		_, _, err := reading(t, "watch://"+dir, nil)
		if err == nil || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "want no end") {
			t.Errorf("found %v, want that an end is an error", err)
		}
		// What ends by itself may end, and what is wrong with it is a dead letter.
		if samples, letters, err := reading(t, "-", nil, damaged); samples != 1 || letters != 1 ||
			!errors.Is(err, io.EOF) {
			t.Errorf("found %d samples, %d dead letters, %v", samples, letters, err)
		}
	})
}

// TestTopicPatience: a message is not given up for an error that passes within a minute.
func TestTopicPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &topicSource{log: apptest.New(t).Log}
		damaged := errors.New("damaged")
		for _, c := range []struct {
			name        string
			err         error // of all calls before passes
			passes      time.Duration
			calls       int // at most
			want        error
			least, most time.Duration
		}{
			{"at once", nil, 0, 1, nil, 0, 0},
			{"descriptors", syscall.EMFILE, 5 * time.Second, 10, nil, 5 * time.Second, 15 * time.Second},
			{"always", syscall.EIO, time.Hour, patience + 1, syscall.EIO, 30 * time.Second, 2 * time.Minute},
			{"damaged", damaged, time.Hour, 1, damaged, 0, 0},
			{"permissions", syscall.EACCES, time.Hour, 1, syscall.EACCES, 0, 0},
		} {
			begin, calls := time.Now(), 0
			err := s.patiently(t.Context(), transport.Message{}, func() error {
				if calls++; time.Since(begin) >= c.passes {
					return nil
				}
				return c.err
			})
			if took := time.Since(begin); !errors.Is(err, c.want) || calls > c.calls || took < c.least ||
				took > c.most {
				t.Errorf("%s: found %v after %d calls and %v, want %v after %v to %v", c.name, err, calls, took, c.want,
					c.least, c.most)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.patiently(ctx, transport.Message{}, func() error { return syscall.EIO }); !errors.Is(err,
			context.DeadlineExceeded) {
			t.Errorf("found %v, want the end of the context", err)
		}
	})
}
