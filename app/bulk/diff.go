package bulk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/store"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/report"
	"github.com/voxelstream/voxelstream/reprocess"
	"github.com/voxelstream/voxelstream/sinks/all"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// Diff compares two results, each the output of reprocess or a table of classifications. out is an .html or .json file
// to write, or empty.
func Diff(ctx context.Context, env *app.Env, a, b, out string) (d *report.Diff, err error) {
	ext := filepath.Ext(out)
	if out != "" && ext != ".html" && ext != ".json" {
		return nil, app.Usage(fmt.Errorf("--out: found extension %q, want .html or .json", ext))
	}
	release, err := env.ClaimOutputs([]string{a, b}, out)
	if err != nil {
		return nil, err
	}
	defer release()
	err = open(ctx, a, func(ra table.Reader) error {
		return open(ctx, b, func(rb table.Reader) (err error) {
			d, err = report.Compare(report.Rows(cancellable{ctx, ra}), report.Rows(cancellable{ctx, rb}))
			return err
		})
	})
	if err != nil {
		return nil, app.Interrupted(ctx, err)
	}
	d.A.Name, d.B.Name = a, b
	if out == "" {
		return d, nil
	}
	return d, ingest.WriteFile(out, func(w io.Writer) error {
		if ext == ".html" {
			return d.HTML(w)
		}
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(d)
	})
}

// open calls read with the table at a path or URL: that of a job, or a file.
func open(ctx context.Context, place string, read func(table.Reader) error) error {
	info, err := os.Stat(place)
	switch {
	case err == nil && !info.IsDir():
		return openTable(place, place, read)
	case err != nil && !strings.Contains(place, "://"):
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			err = e.Err
		}
		return fmt.Errorf("%s: %w", place, err)
	}
	s, err := store.Open(ctx, place)
	if err != nil {
		return err
	}
	defer s.Close() //nolint:errcheck // only read
	name, err := reprocess.Table(ctx, s)
	if err != nil {
		return err
	}
	return s.Get(ctx, name, func(path string) error { return openTable(name, path, read) })
}

// openTable calls read with the table in a file. Its format is that of the name.
func openTable(name, path string, read func(table.Reader) error) error {
	var known []string
	for _, f := range all.Formats {
		for _, e := range f.Extensions {
			if known = append(known, e); !strings.HasSuffix(strings.ToLower(name), e) {
				continue
			}
			r, err := f.Open(path)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return errors.Join(read(named{r, name}), r.Close())
		}
	}
	return fmt.Errorf("%s: found extension %q, want one of %s", name, filepath.Ext(name), strings.Join(known, ", "))
}

// named is a reader whose errors name the table.
type named struct {
	table.Reader
	name string
}

func (n named) Read(dst []record.Classification) (int, error) {
	rows, err := n.Reader.Read(dst)
	if err != nil && !errors.Is(err, io.EOF) && !strings.HasPrefix(err.Error(), n.name) {
		err = fmt.Errorf("%s: %w", n.name, err)
	}
	return rows, err
}

// cancellable is a reader that ends with a context.
type cancellable struct {
	ctx context.Context
	table.Reader
}

func (c cancellable) Read(dst []record.Classification) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.Reader.Read(dst)
}
