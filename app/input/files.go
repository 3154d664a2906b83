package input

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
)

// Files lists the files of inputs and collects what becomes of each. Its zero value is ready for use. Its methods may
// be called by several goroutines, but each sequence by one.
type Files struct {
	app.Outcomes
	owners owners
}

// Of lists the files to read of some inputs, one after another, each with the tally of its rows: a file itself, every
// file in a folder, a folder that is one recording, and a live source. Files that are left out have their outcome and
// are not listed. Neither is a file with the name and the content of an earlier one, because its rows have the same
// IDs. A folder in which there is nothing to read is listed as an input that cannot be opened.
func (fs *Files) Of(ctx context.Context, a *app.Env, inputs []Input) iter.Seq2[Input, *app.FileTally] {
	return func(yield func(Input, *app.FileTally) bool) {
		for _, in := range inputs {
			if in.Live() {
				if !yield(in, fs.Add(in.text)) {
					return
				}
				continue
			}
			found, readable := 0, 0
			for f := range formats.Files(ctx, in.path, a.Config.Ingest) {
				found++
				tally := fs.Add(f.Path)
				if f.Skipped != "" {
					tally.End(app.FileSkipped, f.Skipped)
					continue
				}
				readable++
				one := Input{text: f.Path, path: f.Path, file: &f, named: f.Path == in.path}
				other, err := fs.owners.claimFile(f.Path, tally)
				switch {
				case err != nil:
					one.failure = err
				case other == f.Path:
					tally.End(app.FileRepeated, "named before")
					continue
				case other != "":
					tally.End(app.FileRepeated, "the same name and content as "+other)
					continue
				}
				if !yield(one, tally) {
					return
				}
			}
			if readable > 0 || ctx.Err() != nil {
				continue
			}
			in.failure = errors.New("found no file in the folder")
			if found > 0 {
				in.failure = errors.New("found no input in the folder: all of its files were skipped")
			}
			if !yield(in, fs.Add(in.text)) {
				return
			}
		}
	}
}

// Claim assigns a stream of samples to a file. If it belongs to another one, that is an error: the rows of both would
// have the same IDs, and those of the second would be dropped as duplicates.
func (fs *Files) Claim(stream string, tally *app.FileTally) error {
	if other := fs.owners.claim(stream, tally); other != nil && other != tally {
		return fmt.Errorf("its rows would have the same IDs as those of %s, because both are named %s; rename one of "+
			"them", other.Path(), stream)
	}
	return nil
}

// Owner returns the tally of the file to which a stream belongs, or nil.
func (fs *Files) Owner(stream string) *app.FileTally { return fs.owners.of(stream) }

// owners are the files to which streams belong.
type owners struct {
	byStream sync.Map // of *app.FileTally, by the name of the stream
}

func (o *owners) of(stream string) *app.FileTally {
	t, _ := o.byStream.Load(stream)
	tally, _ := t.(*app.FileTally)
	return tally
}

// claim returns the file to which a stream belongs, which is tally unless it belongs to another one already.
func (o *owners) claim(stream string, tally *app.FileTally) *app.FileTally {
	t, _ := o.byStream.LoadOrStore(stream, tally)
	return t.(*app.FileTally)
}

// claimFile assigns the stream of a file to it. If an earlier file has the same name and content, it returns the path
// of that. If an earlier file has the same stream but other content, that is an error. What cannot be read, and a
// folder, has no stream yet.
func (o *owners) claimFile(path string, tally *app.FileTally) (other string, err error) {
	stream, err := ingest.StreamName(path)
	if err != nil {
		return "", nil //nolint:nilerr // reported when it is opened
	}
	owner := o.claim(stream, tally)
	if owner == tally {
		return "", nil
	}
	same, err := ingest.SameContent(owner.Path(), path)
	switch {
	case err != nil:
		return "", err
	case same:
		return owner.Path(), nil
	}
	return "", fmt.Errorf("found the name, the size, and the first and last 64 KiB of %s, but other content: their "+
		"rows would have the same IDs; rename one of them", owner.Path())
}
