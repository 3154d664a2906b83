// Package watch reads the files that arrive in a folder.
//
// A file is read when it is complete: renamed into the folder, or not changed for a while. Names that begin with a
// dot or end in .tmp, .part or ~ are left out, so that a program can write under such a name and rename. Files whose
// samples are settled are recorded in a state file: a restart continues after them. A file whose samples were not
// settled is read again, and its samples have the same IDs.
//
// A file is settled when it was read or when its content cannot be. A file that cannot be read for a temporary
// reason, such as its permissions, is tried again after increasing pauses, and at the next start. A second file next
// to the state records what is being read, so that a file that kills the process is left alone after two tries.
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
	"github.com/voxelstream/voxelstream/internal/quarantine"
	"github.com/voxelstream/voxelstream/internal/transient"
	"github.com/voxelstream/voxelstream/record"
)

// maxFiles bounds the names of a folder that are held.
const maxFiles = 1 << 20

// Kind is that of a watched folder.
var Kind = live.Kind{
	Name: "watch", Scheme: "watch", Form: "watch://FOLDER", Example: "watch:///srv/scans?settle=2s",
	Doc: "Reads the files that arrive in a folder, each of them once, even across restarts: progress is recorded in " +
		"a state file. A file is read when it has been renamed into the folder or has not changed for a while. A " +
		"file that cannot be read because of a temporary problem, such as its permissions or too many open files, is " +
		"tried again. A file that killed the process twice is not read again until it changes. Folders and links are " +
		"not read. Names that begin with a dot or end in .tmp, .part or ~ are left out.",
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
	stamp  stamp
	stream string // of the first sample
	// open counts samples that are not settled; ended says that no more come.
	open  int
	ended bool
	item  *quarantine.Item

	// failures counts failures to read the file that may pass, since the first of them. It is read again at the time
	// again, and not read now if that is set. reported says that there is a dead letter.
	failures int
	since    time.Time
	again    time.Time
	reported bool
}

const (
	// firstPause and maxPause bound the time until a file is read again that could not be read.
	firstPause = time.Second
	maxPause   = 5 * time.Minute
	// reportAfter is how long a file may not be readable before that is a dead letter. It is still read again.
	reportAfter = time.Hour
)

// Source is a watched folder. It ends with its context only.
type Source struct {
	in       *Input
	services live.Services
	watcher  *fsnotify.Watcher
	tick     *time.Ticker
	journal  *quarantine.Journal
	folder   os.FileInfo // tells whether another folder has taken the name

	pending []stamp // complete, not read yet
	// changing are files that were not complete at the last look, with the time since which they have not changed.
	changing map[string]unchanged
	current  ingest.Source
	reading  *file

	mu    sync.Mutex
	state *state
	taken map[string]*file // by name, until stored in state
	by    map[string]*file // by stream
	// leftOut are the names of what is not read, which was logged.
	leftOut map[string]bool
}

// unchanged is a file that may still be written, and since when it has been the same. The time does not depend on the
// wall clock.
type unchanged struct {
	stamp
	since time.Time
}

var _ live.Settler = (*Source)(nil)

// Open begins to watch. Files that are there already come first.
func Open(in *Input, services live.Services) (*Source, error) {
	info, err := os.Stat(in.Dir)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", in.Dir, errors.Unwrap(err)) // without the name of the call
	case !info.IsDir():
		return nil, fmt.Errorf("%s: found a file, want a folder", in.Dir)
	}
	path := cmp.Or(in.State, filepath.Join(in.Dir, ".voxelstream-watch"))
	st, err := openState(path, in.Dir)
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
	journal, err := quarantine.Open(path+".reading", services.Log)
	if err != nil {
		services.Log.Warn("files that kill the process will not be quarantined", "error", err)
	}
	return &Source{
		in: in, services: services, watcher: w, tick: time.NewTicker(min(in.Poll, in.Settle)), state: st,
		taken: map[string]*file{}, by: map[string]*file{}, leftOut: map[string]bool{},
		changing: map[string]unchanged{}, journal: journal, folder: info,
	}, nil
}

// Read waits for the next sample.
func (s *Source) Read(ctx context.Context) (ingest.Sample, error) {
	sample, err := s.read(ctx)
	if _, item := errors.AsType[*ingest.ItemError](err); err != nil && !item && ctx.Err() == nil {
		s.services.SetReady(err)
	}
	return sample, err
}

func (s *Source) read(ctx context.Context) (ingest.Sample, error) {
	for {
		// The errors so far have been dealt with when the next sample is read.
		if err := s.store(); err != nil {
			return ingest.Sample{}, err
		}
		if s.current == nil {
			if err := s.next(ctx); err != nil {
				return ingest.Sample{}, err
			}
			continue // the file may have to wait
		}
		sample, err := s.current.Read(ctx)
		if err == nil {
			s.mu.Lock()
			s.by[sample.Stream] = s.reading
			s.reading.stream = cmp.Or(s.reading.stream, sample.Stream)
			s.reading.open++
			s.mu.Unlock()
			return sample, nil
		}
		if ctx.Err() != nil {
			return sample, err
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		_, item := errors.AsType[*ingest.ItemError](err)
		if item && !transient.Is(err) && !s.replaced() {
			return sample, err
		}
		f := s.reading
		if cerr := s.current.Close(); err == nil {
			err = cerr
		}
		replaced := err != nil && s.replaced()
		s.current, s.reading = nil, nil
		if err = s.ended(f, err, replaced); err != nil {
			return ingest.Sample{}, err
		}
	}
}

// replaced reports whether the file being read is not the one any more that was taken. What was wrong with it says
// nothing about the file that is there now.
func (s *Source) replaced() bool {
	info, err := os.Stat(filepath.Join(s.in.Dir, s.reading.stamp.name))
	return err == nil && stampOf(info) != s.reading.stamp
}

// ended records that a file gives no more samples; some may not be settled yet. It returns the error of the file, unless
// the file is read again.
func (s *Source) ended(f *file, err error, replaced bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		f.ended = true
		return nil
	}
	_, missing := os.Lstat(filepath.Join(s.in.Dir, f.stamp.name))
	_, away := os.Stat(s.in.Dir)
	switch {
	case errors.Is(missing, os.ErrNotExist): // taken away before its turn, or while it was read
		f.item.Leave()
		f.ended = true
		delete(s.taken, f.stamp.name)
		if away != nil { // with the folder
			return nil
		}
	case replaced: // the other file is read when it is complete
		s.postpone(f, 0)
		return nil
	case transient.Is(err):
		return s.failed(f, err)
	default:
		f.ended = true
	}
	return &ingest.ItemError{ID: record.ID{Stream: f.stamp.name}, Err: err}
}

// postpone has a file read again after a pause. s.mu must be held.
func (s *Source) postpone(f *file, pause time.Duration) {
	f.item.Leave()
	f.item, f.again = nil, time.Now().Add(pause)
}

// failed has a file read again that could not be read for a reason that may pass. It returns the error, once, if that
// has been so for long. s.mu must be held.
func (s *Source) failed(f *file, err error) error {
	now := time.Now()
	if f.failures == 0 {
		f.since = now
	}
	f.failures++
	pause := transient.Pause(f.failures, firstPause, maxPause)
	s.postpone(f, pause)
	s.services.Count(live.Postponed, 1)
	s.services.Log.Warn("a file cannot be read yet; it is tried again", "file", f.stamp.name, "failures", f.failures,
		"pause", pause.Round(time.Millisecond), "error", err)
	if f.reported || now.Sub(f.since) < reportAfter {
		return nil
	}
	f.reported = true
	return &ingest.ItemError{
		ID:  record.ID{Stream: f.stamp.name},
		Err: fmt.Errorf("not readable for %v, still tried: %w", now.Sub(f.since).Round(time.Second), err),
	}
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
		if err := s.store(); err != nil {
			return err
		}
		s.services.SetReady(nil)
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
	item, err := s.journal.Begin(ctx, st.key())
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.mu.Lock()
	f := s.taken[st.name]
	if f == nil || f.stamp != st {
		if f != nil { // it has been replaced
			f.item.Leave()
			f.ended = true
		}
		f = &file{stamp: st}
		s.taken[st.name] = f
	}
	f.item, f.again = item, time.Time{}
	f.ended = err != nil
	s.mu.Unlock()
	if err != nil {
		s.services.Count(live.Quarantined, 1)
		return &ingest.ItemError{
			ID:  record.ID{Stream: st.name},
			Err: fmt.Errorf("%w; it is read again when it has changed, as after touch", err),
		}
	}
	s.services.Count(live.File, 1)
	src, err := s.services.OpenFile(ctx, filepath.Join(s.in.Dir, st.name))
	s.current, s.reading = src, f
	if err == nil {
		return nil
	}
	replaced := s.replaced()
	s.current, s.reading = nil, nil
	if ctx.Err() != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		f.item.Leave()
		delete(s.taken, st.name)
		return ctx.Err()
	}
	return s.ended(f, err, replaced)
}

// hidden says whether a name is one of files that are still written.
func hidden(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".tmp") || strings.HasSuffix(name, ".part") ||
		strings.HasSuffix(name, "~")
}

// follow makes sure that the folder is the one that is watched. It may have been away, and another may have its name.
// s.mu must be held.
func (s *Source) follow() error {
	info, err := os.Stat(s.in.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return transient.Mark(err) // it may come back
	}
	if err != nil || os.SameFile(info, s.folder) {
		return err
	}
	s.services.Log.Info("another folder has the name of the watched one", "folder", s.in.Dir)
	if err := s.state.moved(s.in.Dir); err != nil {
		return err
	}
	_ = s.watcher.Remove(s.in.Dir) // the other one
	if err := s.watcher.Add(s.in.Dir); err != nil {
		return err
	}
	s.folder = info
	return nil
}

// scan lists the complete files that are new, the oldest first.
func (s *Source) scan() error {
	s.mu.Lock()
	err := s.follow()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(s.in.Dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return transient.Mark(err)
	case err != nil:
		return err
	case len(entries) > maxFiles:
		return fmt.Errorf("%s: found %d files, limit %d", s.in.Dir, len(entries), maxFiles)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	changing := map[string]unchanged{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || hidden(e.Name()) || !s.complete(stampOf(info), now, changing) {
			continue
		}
		if !info.Mode().IsRegular() {
			s.leaveOut(e)
			continue
		}
		if st := stampOf(info); s.wanted(st, now) {
			s.pending = append(s.pending, st)
		}
	}
	s.changing = changing
	slices.SortFunc(s.pending, func(a, b stamp) int {
		return cmp.Or(cmp.Compare(a.time, b.time), strings.Compare(a.name, b.name))
	})
	return nil
}

// complete reports whether a file was last changed some time ago, by its time or as far as it was seen. Those that are
// not complete are noted. A file whose time lies in the future, because a clock was set, is complete when it has not
// changed for long enough.
func (s *Source) complete(st stamp, now time.Time, changing map[string]unchanged) bool {
	age := now.UnixNano() - st.time
	if age >= int64(s.in.Settle) {
		return true
	}
	seen, ok := s.changing[st.name]
	if !ok || seen.stamp != st {
		seen = unchanged{st, now}
	}
	changing[st.name] = seen
	return age < 0 && now.Sub(seen.since) >= s.in.Settle
}

// wanted reports whether a complete file is to be read. s.mu must be held.
func (s *Source) wanted(st stamp, now time.Time) bool {
	f := s.taken[st.name]
	switch {
	case f == nil:
	case f.stamp == st && (f.again.IsZero() || now.Before(f.again)):
		return false // it is read, or not yet again
	case f.stamp != st && f.again.IsZero() && !f.ended:
		return false // the file that it has replaced is still read
	}
	return !s.state.has(st, func() (string, error) { return ingest.StreamName(filepath.Join(s.in.Dir, st.name)) })
}

// leaveOut warns, once, that something in the folder is no file and is not read. s.mu must be held.
func (s *Source) leaveOut(e os.DirEntry) {
	if s.leftOut[e.Name()] {
		return
	}
	s.leftOut[e.Name()] = true
	what := "not a regular file"
	if e.IsDir() {
		what = "a folder; to watch it too, name it as another input"
	}
	s.services.Log.Warn("not read in a watched folder", "name", e.Name(), "is", what)
}

// Settle counts a sample of a file as settled.
func (s *Source) Settle(stream string, _ uint64, _ error) {
	s.mu.Lock()
	if f := s.by[stream]; f != nil {
		f.open--
		f.item.Processed()
	}
	s.mu.Unlock()
	_ = s.store() // the next Read tries again
}

// store records the files that are done.
func (s *Source) store() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, f := range s.taken {
		if !f.ended || f.open > 0 {
			continue
		}
		f.item.End()      // also if that cannot be recorded: another file may wait until this one has ended
		err := s.follow() // the state of another folder is not to be lost
		if err == nil {
			err = s.state.add(done{f.stamp, f.stream})
		}
		if err != nil {
			return transient.Mark(fmt.Errorf("progress cannot be recorded: %w", err))
		}
		delete(s.taken, name)
	}
	for stream, f := range s.by {
		if f.ended && f.open <= 0 {
			delete(s.by, stream)
		}
	}
	return nil
}

// Close ends watching. A file that was not read to its end is read again by the next one who watches.
func (s *Source) Close() error {
	s.tick.Stop()
	err := errors.Join(s.watcher.Close(), s.journal.Close())
	if s.current != nil {
		err = errors.Join(err, s.current.Close())
		s.current = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(err, s.state.close())
}
