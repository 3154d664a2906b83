package formats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/regular"
	"github.com/voxelstream/voxelstream/record"
)

// File is a file, or a folder that is one recording, found in a folder.
type File struct {
	Path string
	// Skipped is the reason for which it is not read; empty for an input.
	Skipped string
	// Described says that inspect describes it, although it is skipped: a model, or a file that holds nothing to read.
	Described bool
	// Err is the reason for which it cannot be read.
	Err error

	format detected
}

// Open opens the file. The error says why it cannot be read. A file that is left out can be opened all the same.
func (f File) Open(ctx context.Context, o ingest.Options) (ingest.Source, error) {
	if f.Err != nil {
		return nil, f.Err
	}
	if f.format.Open == nil { // left out before its format was looked at
		return Open(ctx, f.Path, o)
	}
	return f.format.open(ctx, f.Path, o)
}

// Files lists what is in a folder: the recording that it is, if any, and the files below it, by name, each with the
// reason if it is left out. Files that belong to a recording are not listed. If path is a file, the list is that file.
func Files(ctx context.Context, path string, o ingest.Options) iter.Seq[File] {
	return func(yield func(File) bool) {
		for w := newWalk(path, o); ; {
			f, ok := w.next(ctx)
			if !ok || !yield(f) {
				return
			}
		}
	}
}

// walk finds the inputs in a folder. It does not follow links to folders, so it ends.
type walk struct {
	o      ingest.Options
	ignore []string
	root   string
	todo   []step // the last is next
}

// step is a file or folder to look at.
type step struct {
	path string
	// parts are the formats that belong to the recording around it; nil outside of a recording.
	parts []string
	// names are those of the files beside it.
	names []string
}

func newWalk(root string, o ingest.Options) *walk {
	return &walk{o: o, ignore: selectionOf(o).Ignore, root: root, todo: []step{{path: root}}}
}

// next returns the next input or skipped file; ok is false after the last.
func (w *walk) next(ctx context.Context) (f File, ok bool) {
	for len(w.todo) > 0 && ctx.Err() == nil {
		s := w.todo[len(w.todo)-1]
		w.todo = w.todo[:len(w.todo)-1]
		if f, ok := w.look(ctx, s); ok {
			return f, true
		}
	}
	return File{}, false
}

// look judges a file or folder; ok is false if it is no input of its own.
func (w *walk) look(ctx context.Context, s step) (_ File, ok bool) {
	if reason := w.omitted(s.path); reason != "" {
		return File{Path: s.path, Skipped: reason}, true
	}
	info, err := os.Stat(s.path)
	err = retried(ctx, err, func() error {
		info, err = os.Stat(s.path) //nolint:gosec // the user names it
		return err
	})
	switch {
	case err != nil:
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			err = fmt.Errorf("%s: %w", s.path, e.Err)
		}
		return File{Path: s.path, Err: err}, true
	case info.IsDir():
		return w.folder(ctx, s)
	case !info.Mode().IsRegular() && s.path != w.root:
		return File{Path: s.path, Skipped: "not a regular file but " + regular.Kind(info.Mode())}, true
	case s.parts != nil && w.belongs(s):
		return File{}, false
	}
	d, err := detectAgain(ctx, s.path, w.o)
	switch {
	case s.parts != nil && (err != nil || slices.Contains(s.parts, d.Name)):
		return File{}, false
	case s.path != w.root && err == nil && d.InspectOnly != "":
		return File{Path: s.path, Skipped: d.InspectOnly, Described: true}, true
	case err != nil && s.path != w.root:
		if what := What(s.path, err); what != "" {
			return File{Path: s.path, Skipped: what, Described: errors.Is(err, ingest.ErrModel)}, true
		}
		if main := companion(s); main != "" {
			return File{Path: s.path, Skipped: "it accompanies " + main}, true
		}
	}
	return File{Path: s.path, format: d, Err: err}, true
}

// folder adds what is in a folder to the list. If it is a recording, it is an input itself.
func (w *walk) folder(ctx context.Context, s step) (_ File, ok bool) {
	if info, err := os.Lstat(s.path); s.path != w.root && err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return File{Path: s.path, Skipped: "a link to a folder; name it as an input of its own"}, true
	}
	entries, err := os.ReadDir(s.path)
	err = retried(ctx, err, func() error {
		entries, err = os.ReadDir(s.path)
		return err
	})
	if err != nil {
		return File{Path: s.path, Err: err}, true
	}
	d, err := detectAgain(ctx, s.path, w.o)
	if err != nil && !isFolder(err) {
		return File{Path: s.path, Err: err}, true
	}
	// The folder depth of a recording looks like one of frames.
	recording := err == nil && (s.parts == nil || d.sure > ingest.Guess)
	parts := s.parts
	if recording {
		parts = d.Parts
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	for _, name := range slices.Backward(names) {
		w.todo = append(w.todo, step{filepath.Join(s.path, name), parts, names})
	}
	return File{Path: s.path, format: d}, recording
}

// omitted returns why a file or folder is left out by its name; empty if it is not.
func (w *walk) omitted(path string) string {
	if path == w.root {
		return ""
	}
	name := filepath.Base(path)
	rel, err := filepath.Rel(w.root, path)
	if err != nil {
		rel = name
	}
	for _, glob := range w.ignore {
		byName, _ := filepath.Match(glob, name) // the patterns were checked
		byPath, _ := filepath.Match(glob, rel)
		if byName || byPath {
			return "ignored by " + glob
		}
	}
	switch lower := strings.ToLower(name); {
	case strings.HasPrefix(name, "."), lower == "thumbs.db", lower == "desktop.ini", lower == "__macosx":
		return "hidden"
	case strings.HasSuffix(lower, ".tmp"), strings.HasSuffix(lower, ".part"), strings.HasSuffix(lower, "~"):
		return "unfinished, by its name"
	}
	return ""
}

// belongs reports whether a file belongs to the recording around it, by its extension: that of a part, or one of no
// format. The files of a recording are many, so they are not opened.
func (w *walk) belongs(s step) bool {
	f, ok := byExtension(s.path, hasGz(s.path))
	return !ok || slices.Contains(s.parts, f.Name)
}

// recordings are the extensions of recordings, whose calibration and description are files beside them.
var recordings = []string{".pcap", ".pcapng", ".bag", ".db3", ".mcap"}

// companion returns the name of the file that an unreadable file accompanies: one with the same name except for the
// extension, such as scan.las for scan.json, or else any recording for a .json, .yaml or .xml file. It returns ""
// if there is none, or if the unreadable file has the extension of another format.
func companion(s step) string {
	name := filepath.Base(s.path)
	own, stem := extension(name)
	known := func(name string) bool { _, ok := byExtension(name, hasGz(name)); return ok }
	describes := slices.Contains([]string{".json", ".yaml", ".yml", ".xml"}, own)
	if known(name) && !describes && own != ".txt" {
		return ""
	}
	recording := ""
	for _, other := range s.names {
		ext, st := extension(other)
		switch {
		case other == name || !known(other):
		case st == stem && ext != own:
			return other
		case recording == "" && describes && slices.Contains(recordings, ext):
			recording = other
		}
	}
	return recording
}

func hasGz(name string) bool { return strings.HasSuffix(strings.ToLower(name), ".gz") }

// extension returns the extension of a file in lower case, without .gz, and the name without both.
func extension(name string) (ext, stem string) {
	if hasGz(name) {
		name = name[:len(name)-len(".gz")]
	}
	ext = filepath.Ext(name)
	return strings.ToLower(ext), strings.TrimSuffix(name, ext)
}

// folder reads the inputs in a folder one after another, each as a stream of its own.
type folder struct {
	path  string
	o     ingest.Options
	walk  *walk
	first *File // found when the folder was opened, to be read first

	skipped map[string][]string // files by reason
	found   int                 // inputs, readable or not
	read    bool                // there was a sample
	ended   bool

	last    record.ID // the ID after that of the last item
	items   int       // of current, so far
	current ingest.Source
}

// openFolder opens a folder. If it is one recording, that must be readable; if not, it must not be empty.
func openFolder(ctx context.Context, path string, o ingest.Options) (ingest.Source, error) {
	f := &folder{path: path, o: o, walk: newWalk(path, o), skipped: map[string][]string{}}
	first, ok := f.walk.next(ctx)
	switch {
	case !ok:
		return nil, fmt.Errorf("%s: found no file in the folder", path)
	case first.Path != path:
		f.first = &first
		return f, nil
	}
	if err := f.start(ctx, first); err != nil {
		return nil, err
	}
	return f, nil
}

// start opens an input.
func (f *folder) start(ctx context.Context, in File) (err error) {
	f.found++
	f.items, f.last = 0, record.ID{Stream: filepath.Base(in.Path)}
	if info, serr := regular.Stat(in.Path); serr == nil && !info.IsDir() {
		if name, serr := ingest.StreamName(in.Path); serr == nil {
			f.last.Stream = name
		}
	}
	f.current, err = in.Open(ctx, f.o)
	return err
}

func (f *folder) Read(ctx context.Context) (ingest.Sample, error) {
	for {
		if f.current == nil {
			if err := f.next(ctx); err != nil {
				return ingest.Sample{}, err
			}
			continue
		}
		s, err := f.current.Read(ctx)
		f.items++
		var item *ingest.ItemError
		switch {
		case err == nil:
			f.last, f.read = record.ID{Stream: s.Stream, Seq: s.Seq + 1}, true
			return s, nil
		case errors.As(err, &item):
			f.last = record.ID{Stream: item.Stream, Seq: item.Seq + 1}
			return s, err
		case ctx.Err() != nil:
			return s, err
		}
		cerr := f.current.Close()
		f.current = nil
		if errors.Is(err, io.EOF) {
			err = nil
			if f.items == 1 {
				err = errors.New("found no sample")
			}
		}
		if err = errors.Join(err, cerr); err != nil {
			return ingest.Sample{}, &ingest.ItemError{ID: f.last, Err: err}
		}
	}
}

// next opens the next input. It returns io.EOF after the last, and an *ingest.ItemError for one that cannot be read.
func (f *folder) next(ctx context.Context) error {
	var in File
	ok := f.first != nil
	if ok {
		in, f.first = *f.first, nil
	} else {
		in, ok = f.walk.next(ctx)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !ok:
		f.report()
		switch {
		case f.found == 0:
			return fmt.Errorf("%s: found no input in the folder: all of its files were skipped", f.path)
		case !f.read:
			return fmt.Errorf("%s: found no sample in any of the inputs in the folder", f.path)
		}
		return io.EOF
	case in.Skipped != "":
		f.skipped[in.Skipped] = append(f.skipped[in.Skipped], in.Path)
		return nil
	}
	if err := f.start(ctx, in); err != nil {
		if ctx.Err() != nil {
			return err
		}
		return &ingest.ItemError{ID: f.last, Err: err}
	}
	return nil
}

// report reports the files that were skipped, once.
func (f *folder) report() {
	if f.ended || f.o.Skipped == nil {
		return
	}
	f.ended = true
	reasons := make([]string, 0, len(f.skipped))
	for reason := range f.skipped {
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	for _, reason := range reasons {
		f.o.Skipped(f.path, reason, f.skipped[reason])
	}
}

func (f *folder) Close() error {
	f.report()
	f.walk.todo = nil
	if f.current == nil {
		return nil
	}
	err := f.current.Close()
	f.current = nil
	return err
}
