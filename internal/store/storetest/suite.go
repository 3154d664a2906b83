// Package storetest is the suite that every kind of store must pass.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/voxelstream/voxelstream/internal/store"
)

// Run runs the suite. Each call of fresh returns a function that opens the same, initially empty place.
func Run(t *testing.T, fresh func(t *testing.T) func() (store.Store, error)) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s store.Store, again func() store.Store)
	}{
		{"stores and replaces", replaces},
		{"creates once", creates},
		{"a failed write changes nothing", failed},
		{"loads what has the right size", loads},
		{"lists by prefix", lists},
		{"removes", removes},
		{"rejects names", names},
		{"concurrent writes", concurrent},
	} {
		t.Run(c.name, func(t *testing.T) {
			open := fresh(t)
			opened := func() store.Store {
				s, err := open()
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				})
				return s
			}
			c.run(t, opened(), opened)
		})
	}
}

func put(t *testing.T, s store.Store, name, text string) {
	t.Helper()
	if err := tryPut(t.Context(), s, name, text); err != nil {
		t.Fatal(err)
	}
}

func tryPut(ctx context.Context, s store.Store, name, text string) error {
	return s.Put(ctx, name, func(path string) error { return os.WriteFile(path, []byte(text), 0o600) })
}

func get(t *testing.T, s store.Store, name string) string {
	t.Helper()
	var text []byte
	err := s.Get(t.Context(), name, func(path string) (err error) {
		text, err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func replaces(t *testing.T, s store.Store, again func() store.Store) {
	put(t, s, "a/b c.txt", "one")
	put(t, s, "a/b c.txt", "two")
	put(t, s, "empty", "")
	for _, s := range []store.Store{s, again()} {
		if text := get(t, s, "a/b c.txt"); text != "two" {
			t.Errorf("found %q, want two", text)
		}
		if text := get(t, s, "empty"); text != "" {
			t.Errorf("found %q, want nothing", text)
		}
	}
}

func creates(t *testing.T, s store.Store, again func() store.Store) {
	create := func(s store.Store, text string) error {
		return s.Create(t.Context(), "a/x", func(path string) error { return os.WriteFile(path, []byte(text), 0o600) })
	}
	if err := create(s, "first"); err != nil {
		t.Fatal(err)
	}
	for _, s := range []store.Store{s, again()} {
		if err := create(s, "second"); !errors.Is(err, fs.ErrExist) {
			t.Errorf("found %v, want %v", err, fs.ErrExist)
		}
		if text := get(t, s, "a/x"); text != "first" {
			t.Errorf("found %q, want first", text)
		}
	}
}

func failed(t *testing.T, s store.Store, _ func() store.Store) {
	put(t, s, "x", "old")
	broken := errors.New("broken")
	err := s.Put(t.Context(), "x", func(path string) error {
		return errors.Join(os.WriteFile(path, []byte("new"), 0o600), broken)
	})
	if !errors.Is(err, broken) {
		t.Errorf("found %v, want %v", err, broken)
	}
	if err := s.Put(t.Context(), "y", func(string) error { return nil }); err == nil {
		t.Error("a file that was not written was stored")
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = s.Put(ctx, "x", func(path string) error {
		cancel()
		return os.WriteFile(path, []byte("new"), 0o600)
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: found %v", err)
	}
	if text := get(t, s, "x"); text != "old" {
		t.Errorf("found %q, want old", text)
	}
	if files, err := s.List(t.Context(), ""); len(files) != 1 || err != nil {
		t.Errorf("found %v, %v; want x alone", files, err)
	}
}

func loads(t *testing.T, s store.Store, again func() store.Store) {
	put(t, s, "a/x", "twelve bytes")
	for _, s := range []store.Store{s, again()} {
		if b, err := s.Load(t.Context(), "a/x", 12); string(b) != "twelve bytes" || err != nil {
			t.Errorf("found %q, %v", b, err)
		}
		for _, size := range []int64{0, 11, 13, 1 << 50} { // nothing has memory for the last one
			_, err := s.Load(t.Context(), "a/x", size)
			if wrong, ok := errors.AsType[*store.SizeError](err); !ok || wrong.Found != 12 || wrong.Want != size {
				t.Errorf("%d bytes: found %v, want a size error", size, err)
			}
		}
		for _, name := range []string{"a/y", "b/x"} {
			if _, err := s.Load(t.Context(), name, 12); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: found %v, want %v", name, err, fs.ErrNotExist)
			}
		}
		if _, err := s.Load(t.Context(), "../x", 12); !errors.Is(err, store.ErrName) {
			t.Errorf("found %v, want %v", err, store.ErrName)
		}
	}
}

func lists(t *testing.T, s store.Store, _ func() store.Store) {
	for _, name := range []string{"b", "a/2", "a/10", "ab"} {
		put(t, s, name, name)
	}
	for prefix, want := range map[string][]string{
		"":    {"a/10", "a/2", "ab", "b"},
		"a":   {"a/10", "a/2", "ab"},
		"a/":  {"a/10", "a/2"},
		"a/1": {"a/10"},
		"c":   nil,
	} {
		files, err := s.List(t.Context(), prefix)
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, f := range files {
			if found = append(found, f.Name); f.Size != int64(len(f.Name)) {
				t.Errorf("%s: found size %d, want %d", f.Name, f.Size, len(f.Name))
			}
		}
		if !slices.Equal(found, want) {
			t.Errorf("%q: found %q, want %q", prefix, found, want)
		}
	}
}

func removes(t *testing.T, s store.Store, _ func() store.Store) {
	put(t, s, "a/x", "")
	for range 2 {
		if err := s.Remove(t.Context(), "a/x"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Get(t.Context(), "a/x", func(string) error { return nil }); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("found %v, want %v", err, fs.ErrNotExist)
	}
}

func names(t *testing.T, s store.Store, _ func() store.Store) {
	for _, name := range []string{"", ".", "..", "../x", "a/../x", "/x", "a//x", "a/", ".x", "a/.x/y"} {
		err := s.Put(t.Context(), name, func(path string) error { return os.WriteFile(path, nil, 0o600) })
		if !errors.Is(err, store.ErrName) {
			t.Errorf("%q: found %v, want %v", name, err, store.ErrName)
		}
	}
}

func concurrent(t *testing.T, s store.Store, _ func() store.Store) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 5 {
				err := errors.Join(tryPut(t.Context(), s, "same", "the same text"),
					tryPut(t.Context(), s, fmt.Sprintf("d/%d", i), fmt.Sprint(i)))
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if text := get(t, s, "same"); text != "the same text" {
		t.Errorf("found %q", text)
	}
	if files, err := s.List(t.Context(), "d/"); len(files) != 8 || err != nil {
		t.Errorf("found %v, %v", files, err)
	}
}
