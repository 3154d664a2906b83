// Package watch reads the files that come into a folder.
//
// A file is read when it is complete: renamed into the folder, or not changed for a while. Names that begin with a
// dot or end in .tmp, .part or ~ are left out, so that a program can write under such a name and rename. Files whose
// samples are settled are recorded in a state file: a restart goes on behind them. A file whose samples were not
// settled is read again; they have the same ids.
package watch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/live"
	"github.com/voxelstream/voxelstream/record"
)

// maxFiles bounds the names of a folder that are held.
const maxFiles = 1 << 20

// Kind is that of a watched folder.
var Kind = live.Kind{
	Name: "watch", Scheme: "watch", Form: "watch://FOLDER", Example: "watch:///srv/scans?settle=2s",
	Doc: "Reads the files that arrive in a folder, each of them once, also after a restart: " +
		"progress is recorded in a state file. A file is read when it has been renamed into the folder or has not " +
		"changed for a while. Names that begin with a dot or end in .tmp, .part or ~ are left out.",
	Options: func() any { return &Options{Settle: 500 * time.Millisecond, Poll: time.Second} },
	New: func(target string, options any) (live.Input, error) {
		if target == "" {
			return nil, errors.New("found no folder, want watch://FOLDER")
		}
		return &Input{Dir: target, Options: *options.(*Options)}, nil
	},
}

// Options are those of an address.
type Options struct {
	Settle time.Duration `yaml:"settle" above:"0s" doc:"Time without changes after which a file is considered complete."`
	State  string        `yaml:"state" doc:"File that records progress. Default: .voxelstream-watch in the folder."`
	// File systems such as NFS and SMB report no changes.
	Poll time.Duration `yaml:"poll" above:"0s" doc:"Interval between listings of the folder, for file systems without change notifications."`
}

// Input is a parsed address.
type Input struct {
	Dir string
	Options
}

var _ live.Opener = (*Input)(nil)

// Endless is true: files may always arrive.
func (*Input) Endless() bool { return true }

// Open begins to watch.
func (in *Input) Open(_ context.Context, s live.Services) (ingest.Source, error) {
	src, err := Open(in, s)
	if err != nil {
		return nil, err // not a nil *Source in an interface
	}
	s.Log.Info("watching", "folder", in.Dir)
	return src, nil
}

// file is one that was taken.
type file struct {
	stamp stamp
	// open counts samples that are not settled; ended says that no more come.
	open  int
	ended bool
}

// Source is a watched folder. It ends with its context only.
type Source struct {
	in       *Input
	services live.Services
	watcher  *fsnotify.Watcher
	tick     *time.Ticker

	pending []stamp // complete, not read yet
	current ingest.Source
	reading *file

	mu    sync.Mutex
	state *state
	taken map[string]*file // by name, until stored in state
	by    map[string]*file // by stream
	err   error            // a state that cannot be written ends the source
}

var _ live.Settler = (*Source)(nil)

// Open begins to watch. Files that are there already come first.
func Open(in *Input, services live.Services) (*Source, error) {
	switch info, err := os.Stat(in.Dir); {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", in.Dir, errors.Unwrap(err)) // without the name of the call
	case !info.IsDir():
		return nil, fmt.Errorf("%s: found a file, want a folder", in.Dir)
	}
	st, err := openState(cmp.Or(in.State, filepath.Join(in.Dir, ".voxelstream-watch")), in.Dir)
	if err != nil {
		return nil, err
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, errors.Join(err, st.close())
	}
	if err := w.Add(in.Dir); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", in.Dir, err), w.Close(), st.close())
	}
	return &Source{
		in: in, services: services, watcher: w, tick: time.NewTicker(min(in.Poll, in.Settle)), state: st,
		taken: map[string]*file{}, by: map[string]*file{},
	}, nil
}

// Read waits for the next sample.
func (s *Source) Read(ctx context.Context) (ingest.Sample, error) {
	for {
		// The errors so far have been dealt with when the next sample is read.
		if err := s.store(); err != nil {
			return ingest.Sample{}, err
		}
		if s.current == nil {
			if err := s.next(ctx); err != nil {
				return ingest.Sample{}, err
			}
		}
		sample, err := s.current.Read(ctx)
		if err == nil {
			s.mu.Lock()
			s.by[sample.Stream] = s.reading
			s.reading.open++
			s.mu.Unlock()
			return sample, nil
		}
		if _, ok := errors.AsType[*ingest.ItemError](err); ok || ctx.Err() != nil {
			return sample, err
		}
		name := s.reading.stamp.name
		if errors.Is(err, io.EOF) {
			err = nil
		}
		if err = errors.Join(err, s.current.Close()); err != nil {
			err = &ingest.ItemError{ID: record.ID{Stream: name}, Err: err}
		}
		s.end()
		if err != nil {
			return ingest.Sample{}, err
		}
	}
}

// end records that the file being read gives no more samples; some may not be settled yet.
func (s *Source) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading.ended = true
	s.current, s.reading = nil, nil
}

// next opens the next complete file, waiting for one.
func (s *Source) next(ctx context.Context) error {
	for len(s.pending) == 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.scan(); err != nil {
			return err
		}
		if len(s.pending) > 0 {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.watcher.Events: // an event that was lost is made good by the ticker
		case <-s.watcher.Errors: //nolint:errcheck // as above
		case <-s.tick.C:
		}
	}
	st := s.pending[0]
	s.pending = s.pending[1:]
	f := &file{stamp: st}
	s.mu.Lock()
	s.taken[st.name] = f
	s.mu.Unlock()
	s.services.Count(live.File, 1)
	src, err := s.services.OpenFile(ctx, filepath.Join(s.in.Dir, st.name))
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if ctx.Err() != nil || errors.Is(err, os.ErrNotExist) { // taken away before its turn
			delete(s.taken, st.name)
		} else {
			f.ended = true
		}
		return cmp.Or(ctx.Err(), error(&ingest.ItemError{ID: record.ID{Stream: st.name}, Err: err}))
	}
	s.current, s.reading = src, f
	return nil
}

// hidden says whether a name is one of files that are still written.
func hidden(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".tmp") || strings.HasSuffix(name, ".part") ||
		strings.HasSuffix(name, "~")
}

// scan lists the complete files that are new, the oldest first.
func (s *Source) scan() error {
	entries, err := os.ReadDir(s.in.Dir)
	if err != nil {
		return err
	}
	if len(entries) > maxFiles {
		return fmt.Errorf("%s: found %d files, limit %d", s.in.Dir, len(entries), maxFiles)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	quiet := time.Now().Add(-s.in.Settle)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || hidden(e.Name()) || info.ModTime().After(quiet) {
			continue
		}
		st := stampOf(info)
		if f, ok := s.taken[st.name]; s.state.has(st) || ok && (f.stamp == st || !f.ended) {
			continue
		}
		s.pending = append(s.pending, st)
	}
	slices.SortFunc(s.pending, func(a, b stamp) int {
		return cmp.Or(cmp.Compare(a.time, b.time), strings.Compare(a.name, b.name))
	})
	return nil
}

// Settle counts a sample of a file as settled.
func (s *Source) Settle(stream string, _ uint64, _ error) {
	s.mu.Lock()
	if f := s.by[stream]; f != nil {
		f.open--
	}
	s.mu.Unlock()
	_ = s.store() // kept for the next Read
}

// store records the files that are done.
func (s *Source) store() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, f := range s.taken {
		if s.err != nil || !f.ended || f.open > 0 {
			continue
		}
		if s.err = s.state.add(f.stamp); s.err == nil {
			delete(s.taken, name)
		}
	}
	for stream, f := range s.by {
		if f.ended && f.open <= 0 {
			delete(s.by, stream)
		}
	}
	return s.err
}

// Close ends watching. A file that was not read to its end is read again by the next one who watches.
func (s *Source) Close() error {
	s.tick.Stop()
	err := s.watcher.Close()
	if s.current != nil {
		err = errors.Join(err, s.current.Close())
		s.current = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(err, s.state.close())
}
