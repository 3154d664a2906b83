package formats

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"slices"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/internal/regular"
	"github.com/voxelstream/voxelstream/internal/transient"
)

// Open opens a file, a folder that is one recording, or all inputs in any other folder as a stream. It returns an
// error if none of the content can be read, and an *[ingest.ItemError] of the stream stands for each file of a folder
// that cannot be read.
func Open(ctx context.Context, path string, o ingest.Options) (ingest.Source, error) {
	if confines(path, o) {
		return openConfined(ctx, path, o)
	}
	d, err := detectAgain(ctx, path, o)
	switch {
	case isFolder(err), err == nil && d.Parts != nil:
		return openFolder(ctx, path, o)
	case err != nil:
		return nil, err
	}
	return d.open(ctx, path, o)
}

// OpenSingle opens one file, or a folder as the one recording that it is, without other files in it. Inputs that [Files]
// lists are opened with it.
func OpenSingle(ctx context.Context, path string, o ingest.Options) (ingest.Source, error) {
	if confines(path, o) {
		return openConfined(ctx, path, o)
	}
	d, err := detectAgain(ctx, path, o)
	if err != nil {
		return nil, err
	}
	return d.open(ctx, path, o)
}

// confines reports whether a file is read in another process. The format of a folder is recognized by names, and the
// files in it are opened one by one.
func confines(path string, o ingest.Options) bool {
	if o.Confined == nil {
		return false
	}
	info, err := os.Stat(path) //nolint:gosec // the user names it
	return err == nil && !info.IsDir()
}

// openConfined opens an input in another process, unless the reader of its format has one of its own.
func openConfined(ctx context.Context, path string, o ingest.Options) (ingest.Source, error) {
	src, err := Opened(ctx, path, o, func(o ingest.Options) (ingest.Source, error) {
		return o.Confined.Open(ctx, path, o)
	})
	if errors.Is(err, ingest.ErrContained) {
		o.Confined = nil
		return contained().open(ctx, path, o)
	}
	return src, err
}

// contained is the format whose reader has a process of its own.
func contained() detected {
	all := All()
	i := slices.IndexFunc(all, func(f ingest.Format) bool { return f.Contained })
	return detected{Format: all[i], sure: ingest.Sure}
}

// detectAgain is detect, again after errors that may pass.
func detectAgain(ctx context.Context, path string, o ingest.Options) (d detected, err error) {
	d, err = detect(ctx, path, o)
	err = retried(ctx, err, func() error {
		d, err = detect(ctx, path, o)
		return err
	})
	return d, err
}

// open opens an input with an account of its own, and reports the notes about it.
func (d detected) open(ctx context.Context, path string, o ingest.Options) (ingest.Source, error) {
	switch {
	case d.Contained && regular.Remote():
		return nil, ingest.ErrContained
	case o.Confined != nil && !d.Contained:
		return openConfined(ctx, path, o)
	}
	return Opened(ctx, path, o, func(o ingest.Options) (ingest.Source, error) {
		d.remark(o)
		return d.Open(ctx, path, o)
	})
}

// remark notes what detection has assumed, and which flags have no effect.
func (d detected) remark(o ingest.Options) {
	if d.note != "" {
		o.Note("%s", d.note)
	}
	for _, flag := range without(&d.Format, o) {
		o.Note("--%s has no effect on format %s", flag, d.Name)
	}
}

// without returns the flags on the command line that are for options of other formats.
func without(f *ingest.Format, o ingest.Options) (flags []string) {
	for key, flag := range o.Given {
		if other := func(g ingest.Format) bool { return has(&g, key) }; !has(f, key) && slices.ContainsFunc(All(), other) {
			flags = append(flags, flag)
		}
	}
	slices.Sort(flags)
	return flags
}

// has reports whether a format has an option of its own with a key.
func has(f *ingest.Format, key string) bool {
	if f.Options == nil {
		return false
	}
	_, ok := option.Find(option.Fields(f.Options()), key)
	return ok
}

// Opened opens an input by a function. It gives the input an account of o.Budget until its source is closed, and reports
// the notes about it to o.Noted. If opening or reading fails for a reason that may pass within seconds, the input is
// opened again, up to [retries] times, and read on from where it was.
func Opened(ctx context.Context, path string, o ingest.Options,
	open func(ingest.Options) (ingest.Source, error),
) (ingest.Source, error) {
	in := &opened{path: path, o: o, open: open, count: math.MaxInt}
	if err := in.again(ctx, in.begin(ctx)); err != nil {
		return nil, err
	}
	if r, ok := in.Source.(ingest.Slicer); ok {
		in.count = r.Len()
		return &openedSlicer{in}, nil
	}
	return in, nil
}

// retries is how often an input is opened again. The pauses between are firstPause, and twice as long each time.
const (
	retries    = 3
	firstPause = 100 * time.Millisecond
	maxPause   = time.Second
)

// retried calls f until its error is nil or one that will not pass soon, at most retries times more after the first.
func retried(ctx context.Context, err error, f func() error) error {
	for failures := 1; failures <= retries && transient.IsShort(err); failures++ {
		if werr := transient.Wait(ctx, transient.Pause(failures, firstPause, maxPause)); werr != nil {
			return werr
		}
		err = f()
	}
	return err
}

// opened is a source that reports notes at its end, or when it is closed, and closes its account. It is opened again
// after errors that may pass.
type opened struct {
	ingest.Source // nil if it could not be opened again
	path          string
	o             ingest.Options
	open          func(ingest.Options) (ingest.Source, error)
	// first and count are the samples that are wanted, and done the number of those that were read.
	first, count, done int
}

// begin opens the source, behind what was read of it.
func (in *opened) begin(ctx context.Context) error {
	in.o = in.o.Within(ctx)
	in.o.Account = in.o.Budget.Open(ctx)
	if in.o.Noted != nil {
		in.o.Notes = new(ingest.Notes)
	}
	src, err := in.open(in.o)
	if err != nil {
		in.end()
		return err
	}
	in.Source = src
	if in.done > 0 || in.first > 0 {
		in.Source = ingest.Slice(src, in.first+in.done, in.count-in.done)
	}
	return nil
}

// again opens the source again if err may pass.
func (in *opened) again(ctx context.Context, err error) error {
	return retried(ctx, err, func() error { return in.begin(ctx) })
}

func (in *opened) Read(ctx context.Context) (ingest.Sample, error) {
	s, err := in.read(ctx)
	if transient.IsShort(err) && ctx.Err() == nil {
		failed := err
		err = retried(ctx, err, func() error {
			if in.Source != nil {
				cerr := in.Source.Close()
				in.end()
				if in.Source = nil; cerr != nil {
					return cerr
				}
			}
			if failed = in.begin(ctx); failed == nil {
				s, failed = in.read(ctx)
			}
			return failed
		})
		if in.Source == nil {
			in.Source = ended{err}
		}
	}
	_, item := errors.AsType[*ingest.ItemError](err)
	switch {
	case errors.Is(err, io.EOF):
		in.report()
	case err != nil && ctx.Err() != nil: // an item is not to blame for it
		err = ctx.Err()
	case err == nil || item:
		in.done++
	}
	return s, err
}

func (in *opened) read(ctx context.Context) (ingest.Sample, error) {
	in.o.Account.Within(ctx)
	return in.Source.Read(ctx)
}

// ended is a source that could not be opened again.
type ended struct{ err error }

func (e ended) Read(context.Context) (ingest.Sample, error) { return ingest.Sample{}, e.err }
func (ended) Close() error                                  { return nil }

// Classes returns the names that the source knows.
func (in *opened) Classes(ctx context.Context) []string { return ingest.ClassesOf(ctx, in.Source) }

func (in *opened) Close() error {
	err := in.Source.Close()
	in.end()
	return err
}

func (in *opened) end() {
	in.report()
	in.o.Account.Close()
}

func (in *opened) report() {
	if in.o.Noted == nil {
		return
	}
	if notes := in.o.Notes.Take(); len(notes) > 0 {
		in.o.Noted(in.path, notes)
	}
}

// openedSlicer has the methods of a Slicer besides those of a Source.
type openedSlicer struct{ *opened }

// Len returns the number of samples that are left.
func (in *openedSlicer) Len() int { return in.count - in.done }

// Slice is that of [ingest.Slicer].
func (in *openedSlicer) Slice(first, count int) {
	in.first, in.count = in.first+first, max(0, min(count, in.count-first))
	in.Source = ingest.Slice(in.Source, first, count)
}

// Inspect describes a file, or a folder that is one recording. The inputs in any other folder are those of [Files].
func Inspect(ctx context.Context, path string, o ingest.Options) (ingest.Info, error) {
	if o.Confined != nil {
		o.Account = o.Budget.Open(ctx)
		info, err := o.Confined.Inspect(ctx, path, o)
		o.Account.Close()
		if !errors.Is(err, ingest.ErrContained) {
			return info, err
		}
		o.Confined = nil
	}
	d, err := detectAgain(ctx, path, o)
	if err != nil {
		return ingest.Info{}, err
	}
	if d.Contained && regular.Remote() {
		return ingest.Info{}, ingest.ErrContained
	}
	o.Notes = new(ingest.Notes)
	d.remark(o)
	o = o.Within(ctx)
	o.Account = o.Budget.Open(ctx)
	defer o.Account.Close()
	detail, err := d.Inspect(ctx, path, o)
	if err != nil {
		return ingest.Info{}, err
	}
	return ingest.Info{File: path, Format: d.Name, Notes: o.Notes.Take(), Detail: detail}, nil
}
