// Package object stores classifications in object stores: S3 and servers with its API, Google Cloud Storage and Azure.
// Each flush makes an object in one of the formats of sinks/table.
package object

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/internal/store"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// Sink collects classifications in memory and stores them as one object when it is flushed. It is not safe for
// concurrent use.
type Sink struct {
	store  store.Store
	format *table.Format
	// extension is one of the format's. options are those of the format.
	extension string
	options   any
	repeated  func(*record.Classification)

	keys *dedupe.Set
	// next is the number of the next object.
	next uint64
	// held are the classifications to be stored, and places their indices among all that were taken since the last
	// successful flush. taken is the number of these. fresh are the keys of those that are not repeats.
	held   []record.Classification
	places []int
	taken  int
	fresh  map[dedupe.Key]bool
	// tried is the number of held that a failed flush has tried to store.
	tried int
	// failed has the errors of what the format could not hold, by place.
	failed map[int]error
	// again are those that are held or stored already.
	again []record.Classification
}

var (
	_ sinks.Sink       = (*Sink)(nil)
	_ pipeline.Flusher = (*Sink)(nil)
)

// partForm matches the names of objects: a number, so that their order is that of the flushes, and a digest of the keys
// in it. A flush that is repeated because its answer got lost makes the same name, two writers make different ones.
var partForm = regexp.MustCompile(`^part-([0-9]{8,19})-[0-9a-f]{16}(\.[a-z0-9.]+)$`)

func partName(number uint64, digest []byte, extension string) string {
	return fmt.Sprintf("part-%08d-%x%s", number, digest[:8], extension)
}

// part is an object.
type part struct {
	name   string
	number uint64
}

// reading is the number of objects that are read at the same time.
const reading = 4

// Open reads the keys of the latest objects in a store, or of all if window is 0. It returns an error if the store has
// objects in another format, or some that cannot be read. extension is one of the format's, and options are its
// options. Close closes the store.
func Open(ctx context.Context, s store.Store, f *table.Format, extension string, options any,
	window, memoryKeys int,
) (*Sink, error) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("voxelstream-%016x", rand.Uint64()))
	sink := &Sink{
		store: s, format: f, extension: extension, options: options, repeated: func(*record.Classification) {},
		keys: dedupe.NewSet(path, memoryKeys), fresh: map[dedupe.Key]bool{}, failed: map[int]error{},
	}
	parts, err := sink.parts(ctx)
	if err == nil {
		if n := len(parts); n > 0 {
			sink.next = parts[n-1].number + 1
		}
		if window > 0 {
			parts = parts[max(0, len(parts)-window):]
		}
		err = sink.load(ctx, parts)
	}
	if err != nil {
		return nil, errors.Join(err, sink.keys.Close())
	}
	return sink, nil
}

// parts returns the objects in the order of their numbers.
func (s *Sink) parts(ctx context.Context) ([]part, error) {
	files, err := s.store.List(ctx, "part-")
	if err != nil {
		return nil, err
	}
	var out []part
	for _, f := range files {
		m := partForm.FindStringSubmatch(f.Name)
		if m == nil {
			continue
		}
		if !slices.Contains(s.format.Extensions, m[2]) {
			return nil, fmt.Errorf("%s/%s: found another format, want %s; choose another path", s.store, f.Name,
				s.extension)
		}
		n, err := strconv.ParseUint(m[1], 10, 63)
		if err != nil {
			continue
		}
		out = append(out, part{f.Name, n})
	}
	slices.SortStableFunc(out, func(a, b part) int { return int(min(max(int64(a.number-b.number), -1), 1)) })
	return out, nil
}

// load reads the keys of objects.
func (s *Sink) load(ctx context.Context, parts []part) error {
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(reading)
	for _, p := range parts {
		g.Go(func() error {
			err := s.store.Get(ctx, p.name, func(path string) error {
				return keysOf(s.format, path, func(keys []dedupe.Key) error {
					mu.Lock()
					defer mu.Unlock()
					if err := s.keys.Reserve(len(keys)); err != nil {
						return err
					}
					for _, k := range keys {
						s.keys.Add(k)
					}
					return nil
				})
			})
			if err != nil {
				return fmt.Errorf("cannot read what was stored before: %w", err)
			}
			return nil
		})
	}
	return g.Wait()
}

// keysOf passes the keys in a file to add, in batches.
func keysOf(f *table.Format, path string, add func([]dedupe.Key) error) (err error) {
	r, err := f.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	_, err = table.Each(r, func(rows []record.Classification) error {
		keys := make([]dedupe.Key, len(rows))
		for i := range rows {
			keys[i] = dedupe.Of(rows[i].Key())
		}
		return add(keys)
	})
	return err
}

// Write takes what is new. It is not stored before Flush.
func (s *Sink) Write(ctx context.Context, cs []record.Classification) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	known := make([]bool, len(cs))
	for i := range cs {
		var err error
		if known[i], err = s.keys.Has(dedupe.Of(cs[i].Key())); err != nil {
			return err
		}
	}
	for i := range cs {
		if k := dedupe.Of(cs[i].Key()); known[i] || s.fresh[k] {
			s.again = append(s.again, cs[i])
		} else {
			s.held, s.places = append(s.held, cs[i]), append(s.places, s.taken)
			s.fresh[k] = true
		}
		s.taken++
	}
	return nil
}

// errNothing ends the writing of a file in which nothing would be.
var errNothing = errors.New("nothing to store")

// Flush stores what was taken as one object. After an error, Flush may be called again. Because the answer of the
// server may have been lost, it then first stores again what it has tried to store, under the same name, and in a
// second object what was taken since.
func (s *Sink) Flush(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.keys.Reserve(len(s.held)); err != nil {
		return err
	}
	for len(s.held) > 0 {
		if s.tried == 0 {
			s.tried = len(s.held)
		}
		failed, err := s.put(ctx, s.held[:s.tried])
		if err != nil {
			return err
		}
		for i := range s.tried {
			if failed[i] != nil {
				s.failed[s.places[i]] = failed[i]
			} else {
				s.keys.Add(dedupe.Of(s.held[i].Key()))
			}
		}
		s.held, s.places, s.tried = s.held[s.tried:], s.places[s.tried:], 0
	}
	for i := range s.again {
		s.repeated(&s.again[i])
	}
	err := pipeline.Partial(s.failed)
	s.held, s.places, s.taken, s.again, s.failed = nil, nil, 0, nil, map[int]error{}
	clear(s.fresh)
	return err
}

// put stores classifications as one object, except those that the format cannot hold. failed has the errors of these.
func (s *Sink) put(ctx context.Context, cs []record.Classification) (failed map[int]error, err error) {
	digest := sha256.New()
	for i := range cs {
		k := dedupe.Of(cs[i].Key())
		digest.Write(k[:])
	}
	name := partName(s.next, digest.Sum(nil), s.extension)
	err = s.store.Create(ctx, name, func(path string) error {
		w, err := s.format.Create(path, s.options)
		if err != nil {
			return err
		}
		failed = nil
		if err = w.Write(cs); err != nil {
			if partial, ok := errors.AsType[*pipeline.PartialError](err); ok {
				failed, err = partial.Failed, nil
			}
		}
		if err = errors.Join(err, w.Close()); err != nil {
			return err
		}
		if len(failed) == len(cs) {
			return errNothing
		}
		return nil
	})
	switch {
	case errors.Is(err, errNothing):
		return failed, nil
	case errors.Is(err, fs.ErrExist): // stored by an earlier attempt
	case err != nil:
		return nil, err
	}
	s.next++
	return failed, nil
}

// Close closes the store. What was not flushed is forgotten.
func (s *Sink) Close(context.Context) error { return errors.Join(s.keys.Close(), s.store.Close()) }
