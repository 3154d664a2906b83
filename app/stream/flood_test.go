package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// floodTest collects what floods store.
type floodTest struct {
	*floods
	letters []deadLetter // stored one by one

	mu   sync.Mutex
	sums []deadLetter
}

func newFloodTest(t *testing.T) *floodTest {
	f := &floodTest{}
	f.floods = newFloods(func(_ context.Context, d deadLetter) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.sums = append(f.sums, d)
		return nil
	}, func(_ deadLetter, err error) { t.Error(err) })
	return f
}

// stored returns the summaries.
func (f *floodTest) stored() []deadLetter {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.sums)
}

func (f *floodTest) write(d deadLetter) {
	if f.add(d) {
		f.letters = append(f.letters, d)
	}
}

// total returns the number of items in the summaries.
func (f *floodTest) total() (n int64) {
	for _, d := range f.stored() {
		n += max(d.Count, 1)
	}
	return n
}

func item(i int, text string) deadLetter {
	return deadLetter{Input: "udp://:2368", Stream: "lidar", Seq: uint64(i), Stage: "voxelize", Error: text}
}

// TestCoveredLens: a sensor that sees nothing for a day leaves few summaries, and no dead letter of its own. Others are
// stored as always.
func TestCoveredLens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFloodTest(t)
		const n = 24 * 3600
		for i := range n {
			d := item(i, fmt.Sprintf("sample %d: nothing to voxelize", i))
			d.sensor, d.empty = true, true
			f.write(d)
			if i == n/2 {
				d.empty, d.Error = false, "the cloud is not finite"
				f.write(d)
			}
			time.Sleep(time.Second)
		}
		f.end(t.Context())
		if len(f.letters) != 1 || len(f.stored()) > 200 || len(f.stored()) < 100 || f.total() != n {
			t.Errorf("%d dead letters, %d summaries of %d items", len(f.letters), len(f.stored()), f.total())
		}
		if d := f.stored()[0]; d.Seq != 0 || d.Count > 2 {
			t.Errorf("the first summary is %+v", d)
		}
		last := f.stored()[len(f.stored())-1]
		if last.Last != fmt.Sprintf("lidar/%d", n-1) || !strings.Contains(last.Error, "items from lidar/") ||
			!strings.Contains(last.Error, "nothing to voxelize") {
			t.Errorf("the last summary is %+v", last)
		}
	})
}

// TestFlood: hostile packets with the same reason are summarized after the first hundred, files after ten thousand.
func TestFlood(t *testing.T) {
	for _, c := range []struct {
		name   string
		sensor bool
		stored int
	}{{"sensor", true, sensorBurst}, {"files", false, itemBurst}} {
		synctest.Test(t, func(t *testing.T) {
			f := newFloodTest(t)
			for i := range 60_000 {
				d := item(i, fmt.Sprintf("packet %d: found %q, want 0x%x", i, fmt.Sprint("x", i), i))
				d.sensor = c.sensor
				f.write(d)
			}
			rare := item(1, "another reason")
			rare.sensor = c.sensor
			f.write(rare)
			time.Sleep(time.Hour)
			if len(f.letters) != c.stored+1 || len(f.stored()) != 1 || f.total() != int64(60_000-c.stored) ||
				f.letters[c.stored].Error != rare.Error {
				t.Errorf("%s: %d dead letters, %d summaries of %d items", c.name, len(f.letters), len(f.stored()),
					f.total())
			}
			d := item(7, "packet 7: found \"y\", want 0x1")
			d.sensor = c.sensor
			f.write(d) // an hour later there are new ones
			if f.end(t.Context()); len(f.letters) != c.stored+2 {
				t.Errorf("%s: %d dead letters an hour later", c.name, len(f.letters))
			}
		})
	}
}

// TestReasons: inputs and texts that differ in every item do not fill the memory.
func TestReasons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFloodTest(t)
		for i := range 100_000 {
			d := item(i, strings.Repeat("x", i%190)+strings.Repeat("y", i/190%300))
			d.Input, d.sensor = strings.Repeat("z", i%50), true
			f.write(d)
		}
		f.end(t.Context())
		if len(f.known) > maxReasons+1 || len(f.letters)+int(f.total()) != 100_000 {
			t.Errorf("%d reasons, %d dead letters, %d items", len(f.known), len(f.letters), f.total())
		}
	})
}

// TestLostSummary: a summary that cannot be stored is named.
func TestLostSummary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var named []deadLetter
		f := newFloods(func(context.Context, deadLetter) error { return errors.New("no broker") },
			func(d deadLetter, _ error) { named = append(named, d) })
		for i := range 10 {
			d := item(i, "nothing to voxelize")
			d.sensor, d.empty = true, true
			f.add(d)
		}
		if f.end(t.Context()); len(named) != 1 || named[0].Count != 10 {
			t.Errorf("named %+v", named)
		}
	})
}

// TestStuckSummary: a broker that does not answer while a summary is stored does not keep the program from ending.
func TestStuckSummary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := 0
		f := newFloods(func(ctx context.Context, _ deadLetter) error {
			<-ctx.Done()
			return ctx.Err()
		}, func(deadLetter, error) { lost++ })
		d := item(1, "nothing to voxelize")
		d.sensor, d.empty = true, true
		f.add(d)
		time.Sleep(2 * firstSummary) // it is being stored
		ctx, cancel := context.WithTimeout(t.Context(), deadLetterTime)
		defer cancel()
		if f.end(ctx); lost != 1 {
			t.Errorf("found %d lost summaries, want 1", lost)
		}
	})
}
