package formats

import (
	"context"
	"errors"
	"io"

	"github.com/voxelstream/voxelstream/ingest"
)

// Open opens a file, a folder that is one recording, or all inputs in any other folder as a stream. It returns an
// error if none of the content can be read, and an *[ingest.ItemError] of the stream stands for each file of a folder
// that cannot be read.
func Open(ctx context.Context, path string, o ingest.Options) (ingest.Source, error) {
	d, err := detect(ctx, path, o)
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
	d, err := detect(ctx, path, o)
	if err != nil {
		return nil, err
	}
	return d.open(ctx, path, o)
}

// open opens an input and reports the notes about it.
func (d detected) open(ctx context.Context, path string, o ingest.Options) (ingest.Source, error) {
	return Noted(path, o, func(o ingest.Options) (ingest.Source, error) {
		if d.note != "" {
			o.Note("%s", d.note)
		}
		return d.Open(ctx, path, o)
	})
}

// Noted opens an input by a function and reports the notes about it to o.Noted.
func Noted(path string, o ingest.Options, open func(ingest.Options) (ingest.Source, error)) (ingest.Source, error) {
	if o.Noted == nil {
		return open(o)
	}
	o.Notes = new(ingest.Notes)
	report := func() {
		if notes := o.Notes.Take(); len(notes) > 0 {
			o.Noted(path, notes)
		}
	}
	src, err := open(o)
	if err != nil {
		report()
		return nil, err
	}
	n := &noted{src, report}
	if r, ok := src.(ingest.Slicer); ok {
		return &notedSlicer{n, r}, nil
	}
	return n, nil
}

// noted is a source that reports notes at its end, or when it is closed.
type noted struct {
	ingest.Source
	report func()
}

func (n *noted) Read(ctx context.Context) (ingest.Sample, error) {
	s, err := n.Source.Read(ctx)
	if errors.Is(err, io.EOF) {
		n.report()
	}
	return s, err
}

// Classes returns the names that the source knows.
func (n *noted) Classes(ctx context.Context) []string { return ingest.ClassesOf(ctx, n.Source) }

func (n *noted) Close() error {
	n.report()
	return n.Source.Close()
}

// notedSlicer has the methods of a Slicer besides those of a Source.
type notedSlicer struct {
	*noted
	slicer ingest.Slicer
}

func (n *notedSlicer) Len() int               { return n.slicer.Len() }
func (n *notedSlicer) Slice(first, count int) { n.slicer.Slice(first, count) }

// Inspect describes a file, or a folder that is one recording. The inputs in any other folder are those of [Files].
func Inspect(ctx context.Context, path string, o ingest.Options) (ingest.Info, error) {
	d, err := detect(ctx, path, o)
	if err != nil {
		return ingest.Info{}, err
	}
	o.Notes = new(ingest.Notes)
	if d.note != "" {
		o.Note("%s", d.note)
	}
	detail, err := d.Inspect(ctx, path, o)
	if err != nil {
		return ingest.Info{}, err
	}
	return ingest.Info{File: path, Format: d.Name, Notes: o.Notes.Take(), Detail: detail}, nil
}
