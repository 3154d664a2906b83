package object

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/internal/store"
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// Kind returns the kind of sink for object stores.
func Kind(formats []*table.Format) *sinks.Kind {
	k := kind{formats}
	return &sinks.Kind{
		Name: store.S3, Schemes: []string{store.GCS, store.Azure}, Path: "//BUCKET/PATH",
		Doc: "An object store: Amazon S3 or a server with its API (`s3://`), Google Cloud Storage (`gs://`) or Azure " +
			"Blob Storage (`azblob://CONTAINER/PATH`). The extension of the path selects the format (" +
			strings.Join(k.extensions(), ", ") + "), and the options of the format are allowed too.\n\n" +
			"The path is a folder. Each flush stores one object in it, named `part-NUMBER-DIGEST` with the extension. " +
			"Objects are never changed. pandas, DuckDB and Spark read such a folder as one table. Higher flush limits " +
			"make fewer and larger objects, but offsets of a topic are not committed before a flush.\n\n" +
			"At startup, the objects are read, so that classifications they hold are skipped. With `window=N`, only " +
			"the latest N objects are read: a classification in an older one is stored again if it is delivered again " +
			"after a restart. Several processes may write to a folder and never replace each other's objects, but each " +
			"reads those of the others only at startup. A classification that moves to another process, because a " +
			"consumer group is rebalanced before its offset is committed, can then be stored twice.",
		Guarantee: sinks.ExactlyOnce,
		Flush:     &sinks.Flush{Rows: 1 << 17, Every: time.Minute},
		Options:   k.options,
		Resolve:   k.resolve,
		Open:      k.open,
	}
}

// Options are the options of the sink.
type Options struct {
	Format     string `yaml:"format" doc:"Format of the objects. By default, the extension of the path selects it."`
	Window     int    `yaml:"window" min:"0" max:"1000000" doc:"Number of the latest objects to read at startup for deduplication. 0 means all."`
	MemoryKeys int    `yaml:"memory_keys" min:"1000" max:"1000000000" doc:"Number of keys to keep in memory for deduplication, at 32 to 80 bytes each. Older keys are kept in temporary files, at 16 bytes each."`

	Store store.Options `yaml:",inline"`
	// OfFormat is a pointer to the options of the format, if there are any.
	OfFormat []any `yaml:",inline"`
}

type kind struct{ formats []*table.Format }

func (k kind) extensions() (out []string) {
	for _, f := range k.formats {
		out = append(out, f.Extensions...)
	}
	return out
}

// format returns the format that the query or the path selects, and the extension of the objects.
func (k kind) format(t sinks.Target) (found *table.Format, extension string, err error) {
	query, _ := url.ParseQuery(t.Query) // its errors are those of the options
	if name := query.Get("format"); name != "" {
		var names []string
		for _, f := range k.formats {
			if f.Name == name {
				return f, f.Extensions[0], nil
			}
			names = append(names, f.Name)
		}
		return nil, "", fmt.Errorf("found the format %q%s, want %s", name, option.DidYouMean(name, names),
			strings.Join(names, ", "))
	}
	path := strings.ToLower(strings.TrimRight(t.Path, "/"))
	for _, f := range k.formats {
		for _, e := range f.Extensions {
			if strings.HasSuffix(path, e) && len(e) > len(extension) {
				found, extension = f, e
			}
		}
	}
	if found == nil {
		return nil, "", fmt.Errorf("found the path %q, want one that ends in %s; or name the format: ?format=NAME",
			t.Path, strings.Join(k.extensions(), ", "))
	}
	return found, extension, nil
}

func (k kind) options(t sinks.Target) any {
	o := &Options{MemoryKeys: dedupe.DefaultMemory}
	if f, _, err := k.format(t); err == nil && f.Options != nil {
		o.OfFormat = []any{f.Options()}
	}
	return o
}

func (k kind) resolve(t *sinks.Target, _ sinks.Defaults) (string, error) {
	p, err := store.ParsePlace(t.Scheme, t.Path)
	if err != nil {
		return "", err
	}
	if _, _, err := k.format(*t); err != nil {
		return "", err
	}
	return p.String(), nil
}

func (k kind) open(ctx context.Context, t sinks.Target, options any, services sinks.Services) (sinks.Sink, error) {
	o := options.(*Options)
	p, err := store.ParsePlace(t.Scheme, t.Path)
	if err != nil {
		return nil, err
	}
	f, extension, err := k.format(t)
	if err != nil {
		return nil, err
	}
	s, err := p.Open(ctx, o.Store)
	if err != nil {
		return nil, err
	}
	var ofFormat any
	if len(o.OfFormat) > 0 {
		ofFormat = o.OfFormat[0]
	}
	sink, err := Open(ctx, s, f, extension, ofFormat, o.Window, o.MemoryKeys)
	if err != nil {
		s.Close() //nolint:errcheck // nothing was written
		return nil, err
	}
	sink.repeated = services.Repeat
	return sink, nil
}
