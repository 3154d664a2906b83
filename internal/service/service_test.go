package service

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// diary keeps what happened, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) write(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
}

// part is one that does as it should, and writes it down.
func (d *diary) part(name string) Part {
	return Part{
		Name:  name,
		Start: func(context.Context) error { d.write("start " + name); return nil },
		Run: func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(time.Second) // those that stop later must wait for it
			d.write("end " + name)
			return ctx.Err()
		},
		Stop: func(context.Context) error { d.write("stop " + name); return nil },
	}
}

func (d *diary) want(t *testing.T, lines ...string) {
	t.Helper()
	if !slices.Equal(d.lines, lines) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(d.lines, "\n"), strings.Join(lines, "\n"))
	}
}

func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &diary{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := Run(ctx, time.Minute, d.part("a"), Part{}, d.part("b"), d.part("c")); err != nil {
			t.Error(err)
		}
		d.want(t, "start a", "start b", "start c", "end c", "stop c", "end b", "stop b", "end a", "stop a")
	})
}

// TestRunEnds: the first Run to return ends the group, with its error if there is one; errors of all parts are joined
// and named.
func TestRunEnds(t *testing.T) {
	broken, late := errors.New("broken"), errors.New("late")
	for _, c := range []struct {
		ends error
		want string
	}{{nil, "b: late"}, {broken, "b: late\nc: broken"}} {
		synctest.Test(t, func(t *testing.T) {
			d := &diary{}
			b, work := d.part("b"), d.part("c")
			b.Stop = func(context.Context) error { d.write("stop b"); return late }
			work.Run = func(context.Context) error { d.write("end c"); return c.ends }
			err := Run(t.Context(), time.Minute, d.part("a"), b, work)
			var lines []string
			for line := range strings.SplitSeq(err.Error(), "\n") {
				lines = append(lines, line)
			}
			slices.Sort(lines)
			if strings.Join(lines, "\n") != c.want || !errors.Is(err, late) || errors.Is(err, broken) != (c.ends != nil) {
				t.Errorf("found %v, want %s", err, c.want)
			}
			d.want(t, "start a", "start b", "start c", "end c", "stop c", "end b", "stop b", "end a", "stop a")
		})
	}
}

// TestStartFails: what has started is stopped, what comes behind never starts.
func TestStartFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &diary{}
		b := d.part("b")
		b.Start = func(context.Context) error { return errors.New("port is taken") }
		if err := Run(t.Context(), time.Minute, d.part("a"), b, d.part("c")); err == nil || err.Error() != "b: port is taken" {
			t.Errorf("found %v", err)
		}
		d.want(t, "start a", "end a", "stop a")
	})
}

// TestEndsWhileStarting: neither the end of the context nor a part that fails waits for a slow start.
func TestEndsWhileStarting(t *testing.T) {
	t.Run("context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := &diary{}
			slow := d.part("slow")
			slow.Start = func(ctx context.Context) error { <-ctx.Done(); return nil }
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := Run(ctx, time.Minute, d.part("a"), slow, d.part("c")); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("found %v", err)
			}
			d.want(t, "start a", "end slow", "stop slow", "end a", "stop a")
		})
	})
	t.Run("part", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := &diary{}
			a, slow := d.part("a"), d.part("slow")
			a.Run = func(context.Context) error { time.Sleep(time.Second); return errors.New("broken") }
			slow.Start = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
			err := Run(t.Context(), time.Minute, a, slow)
			if err == nil || !strings.Contains(err.Error(), "a: broken") {
				t.Errorf("found %v", err)
			}
			d.want(t, "start a", "stop a")
		})
	})
}

// TestDrain: a part that does not end is given up when the time is over, and the others are stopped all the same.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &diary{}
		release := make(chan struct{})
		stuck := d.part("stuck")
		stuck.Run = func(context.Context) error { <-release; return nil }
		stuck.Stop = func(ctx context.Context) error {
			if ctx.Err() == nil {
				t.Error("there is time left")
			}
			return nil
		}
		quick := d.part("quick")
		quick.Run = func(ctx context.Context) error { <-ctx.Done(); d.write("end quick"); return nil }
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		begin := time.Now()
		err := Run(ctx, 10*time.Second, quick, stuck)
		if took := time.Since(begin); err == nil ||
			!strings.Contains(err.Error(), "stuck: still running: not stopped within 10s") || took < time.Hour+10*time.Second ||
			took > time.Hour+11*time.Second {
			t.Errorf("found %v after %v", err, took)
		}
		d.want(t, "start quick", "start stuck", "end quick", "stop quick")
		close(release)
		synctest.Wait()
	})
}
