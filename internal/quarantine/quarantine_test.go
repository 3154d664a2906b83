package quarantine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/voxelstream/voxelstream/internal/durable"
)

func open(t *testing.T, path string) *Journal {
	t.Helper()
	j, err := Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() }) //nolint:errcheck // most tests have closed it
	return j
}

func begin(t *testing.T, j *Journal, key string) *Item {
	t.Helper()
	i, err := j.Begin(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// die ends a journal as the death of the process does: nothing more is written.
func die(t *testing.T, j *Journal) {
	t.Helper()
	data, err := os.ReadFile(j.path)
	if err := errors.Join(err, j.Close(), os.WriteFile(j.path, data, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// refused wants that an item is quarantined.
func refused(t *testing.T, j *Journal, key string) {
	t.Helper()
	i, err := j.Begin(t.Context(), key)
	if e, ok := errors.AsType[*Error](err); !ok || e.Deaths != Tries {
		t.Errorf("%s: found %v, %v, want that it is quarantined", key, i, err)
	}
}

const odd = "a \"b\"\n\xff end left"

// TestTwoTries: an item is left alone after the process has died twice while it was read, whatever its name is.
func TestTwoTries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	for range Tries {
		j := open(t, path)
		begin(t, j, "good").End()
		begin(t, j, odd)
		die(t, j)
	}
	for range 3 { // for good
		j := open(t, path)
		refused(t, j, odd)
		begin(t, j, "good").End()
		die(t, j)
	}
	j := open(t, path)
	j.Forgive(odd)
	begin(t, j, odd).End()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	begin(t, open(t, path), odd).End()
}

// TestProgress: a death does not count if more of the item was processed than before. An item that kills the process at
// the same place is found all the same.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "journal")
		read := func(samples int) {
			j := open(t, path)
			i := begin(t, j, odd)
			for range samples {
				time.Sleep(markEvery)
				i.Processed()
			}
			if samples > 30 { // the marks are kept when the journal is written anew
				if err := j.compact(); err != nil {
					t.Fatal(err)
				}
			}
			die(t, j)
		}
		for _, samples := range []int{10, 20, 21, 40, 50} {
			read(samples)
		}
		read(50)
		read(49)
		j := open(t, path)
		refused(t, j, odd)
		j.Forgive(odd)
		begin(t, j, odd).End()
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadFile(path); err != nil || len(left) > 0 {
			t.Errorf("found %q, %v, want an empty journal", left, err)
		}
	})
}

// TestInOrder: what the process leaves in good order, and what it reads to its end at the second try, is never
// quarantined.
func TestInOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	for range 10 {
		j := open(t, path)
		begin(t, j, "left").Leave()
		begin(t, j, "closed")
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		j := open(t, path)
		begin(t, j, "survives")
		die(t, j)
		j = open(t, path)
		begin(t, j, "survives").End()
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAlone: of the items that were read when the process died, each is read alone, so that only the one that kills it
// is quarantined.
func TestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "journal")
		j := open(t, path)
		for _, key := range []string{"a", "killer", "c"} {
			begin(t, j, key)
		}
		die(t, j)
		j = open(t, path)
		a := begin(t, j, "a")
		var begun []string
		for _, key := range []string{"killer", "new"} {
			go func() {
				if _, err := j.Begin(t.Context(), key); err == nil {
					begun = append(begun, key)
				}
			}()
			synctest.Wait()
		}
		if len(begun) > 0 {
			t.Errorf("found %v beside an item that is read alone", begun)
		}
		a.End()
		synctest.Wait()
		if !slices.Equal(begun, []string{"killer"}) && !slices.Equal(begun, []string{"new"}) {
			t.Errorf("found %v after it, want one of the two", begun)
		}
		die(t, j)
		j = open(t, path)
		if slices.Equal(begun, []string{"killer"}) {
			refused(t, j, "killer")
			begin(t, j, "c").End()
			begin(t, j, "new").End()
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestWaits: waiting ends with the context.
func TestWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path)
	begin(t, j, "a")
	die(t, j)
	j = open(t, path)
	begin(t, j, "b")
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := j.Begin(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("found %v", err)
	}
}

// TestFile: the journal stays small, another process cannot use it, and lines that are damaged do no harm.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path)
	if _, err := Open(path, slog.Default()); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("found %v", err)
	}
	open1 := begin(t, j, "open")
	for i := range 3 * fewLines {
		begin(t, j, fmt.Sprint("item ", i)).End()
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > 30*2*fewLines {
		t.Errorf("found %d bytes, %v", info.Size(), err)
	}
	die(t, j)
	open1.End() // without effect
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := "nonsense\nbegin\nbegin \"cut\ndied x \"y\"\ndied 1\n\x00\x00\n" + string(text) + "begin \"torn"
	if err := os.WriteFile(path, []byte(damaged), 0o600); err != nil {
		t.Fatal(err)
	}
	j = open(t, path)
	begin(t, j, "open")
	die(t, j)
	refused(t, open(t, path), "open")
}

// TestNil: without a journal, everything is read.
func TestNil(t *testing.T) {
	var j *Journal
	i := begin(t, j, "a")
	i.End()
	i.Leave()
	j.Forgive("a")
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	if text := (&Error{2}).Error(); !strings.Contains(text, "died 2 times") {
		t.Error(text)
	}
}
