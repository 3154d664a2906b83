package budget

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func take(t *testing.T, a *Account, n int64) {
	t.Helper()
	if err := a.Take(n); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, b *Budget, n int64) {
	t.Helper()
	if got := b.InUse(); got != n {
		t.Fatalf("found %d bytes in use, want %d", got, n)
	}
}

// TestLimit: an account is refused what exceeds the limit of one, whatever others hold, and keeps what it has.
func TestLimit(t *testing.T) {
	b := New(100)
	other := b.Open(t.Context())
	take(t, other, 20)
	a := b.Open(t.Context())
	take(t, a, 70)
	err := a.Take(6)
	if !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "need of 76 bytes of memory, limit 75") ||
		!strings.Contains(err.Error(), "ingest.memory") {
		t.Fatalf("found error %v, want one with the need, the limit and the setting", err)
	}
	if err := a.Take(1<<63 - 1); !errors.Is(err, ErrLimit) {
		t.Fatalf("found error %v, want a refusal", err)
	}
	want(t, b, 90)
	take(t, a, 5)
	a.Close()
	want(t, b, 20)
	other.Give(1000)
	want(t, b, 0)
}

// TestNil: no budget means no limits.
func TestNil(t *testing.T) {
	var b *Budget
	a := b.Open(t.Context())
	if err := a.Take(1 << 62); err != nil {
		t.Fatal(err)
	}
	a.Within(t.Context())
	a.Part().Give(1)
	a.Close()
	if n := b.Limit(); n != 0 {
		t.Errorf("found the limit %d, want none", n)
	}
}

// TestParts: a part counts as its account, and is closed alone.
func TestParts(t *testing.T) {
	b := New(100)
	a := b.Open(t.Context())
	take(t, a, 10)
	p := a.Part()
	take(t, p, 60)
	if err := a.Take(6); !errors.Is(err, ErrLimit) {
		t.Fatalf("found error %v, want a refusal", err)
	}
	p.Close()
	want(t, b, 10)
	take(t, a, 65)
	a.Close()
	want(t, b, 0)
	take(t, p, 60)
	take(t, a, 10)
	a.Close() // with its parts
	want(t, b, 0)
	other := b.Open(t.Context())
	take(t, other, 25)
	p.Close() // has nothing left
	p.Give(10)
	want(t, b, 25)
	take(t, p, 20)
	p.Give(5)
	want(t, b, 40)
}

// TestReserve: accounts that hold memory and want more do not block each other. The one that cannot fit into the pool
// first owns the reserve; the other waits for it, in order.
func TestReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		x, y, z := b.Open(t.Context()), b.Open(t.Context()), b.Open(t.Context())
		take(t, x, 10)
		take(t, y, 10)
		take(t, x, 60) // the reserve
		var served atomic.Int32
		go func() {
			take(t, y, 50)
			served.Add(1)
		}()
		synctest.Wait()
		go func() {
			take(t, z, 1) // would fit, but y was first
			served.Add(1)
		}()
		synctest.Wait()
		take(t, x, 5) // the owner never waits
		if n := served.Load(); n > 0 {
			t.Fatalf("found %d calls served, want none", n)
		}
		x.Close()
		synctest.Wait()
		if n := served.Load(); n != 2 {
			t.Fatalf("found %d calls served, want both", n)
		}
		want(t, b, 61)
		y.Give(50) // fits into the pool again, so the reserve is free
		take(t, z, 74)
		want(t, b, 85)
	})
}

// TestOwnersCalls: all calls of the account that becomes the owner are served, wherever they stand in the queue.
func TestOwnersCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		x, y, z := b.Open(t.Context()), b.Open(t.Context()), b.Open(t.Context())
		take(t, x, 70)
		var served atomic.Int32
		for _, a := range []*Account{y, z, y} {
			go func() {
				take(t, a, 30)
				served.Add(1)
			}()
			synctest.Wait()
		}
		x.Close()
		synctest.Wait()
		if served.Load() != 2 {
			t.Fatalf("found %d calls served, want both of y", served.Load())
		}
		y.Close()
		synctest.Wait()
		want(t, b, 30)
	})
}

// TestCancel: a call whose context ends leaves the queue, and those behind it are served.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		x, y, z := b.Open(t.Context()), b.Open(t.Context()), b.Open(t.Context())
		ctx, cancel := context.WithCancel(t.Context())
		y.Within(ctx)
		take(t, x, 70)
		failed := make(chan error, 1)
		go func() { failed <- y.Take(50) }()
		synctest.Wait()
		served := make(chan error, 1)
		go func() { served <- z.Take(20) }()
		synctest.Wait()
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("found error %v, want that of the context", err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		want(t, b, 90)
	})
}

// TestCrowd: many accounts that grow in steps up to the limit all finish, and never hold more than the budget.
func TestCrowd(t *testing.T) {
	const size = 1000
	b := New(size)
	var all sync.WaitGroup
	for i := range uint64(16) {
		r := rand.New(rand.NewPCG(1, i))
		all.Go(func() {
			for range 200 {
				err := b.Run(t.Context(), func(a *Account) error {
					for left := 1 + r.Int64N(b.Limit()); left > 0; {
						n := 1 + r.Int64N(left)
						if err := a.Take(n); err != nil {
							return err
						}
						if used := b.InUse(); used > size {
							t.Errorf("found %d bytes in use, budget %d", used, size)
						}
						left -= n
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	want(t, b, 0)
}

func BenchmarkTake(bench *testing.B) {
	b := New(1 << 30)
	for bench.Loop() {
		a := b.Open(bench.Context())
		if err := a.Take(1 << 20); err != nil {
			bench.Fatal(err)
		}
		a.Close()
	}
}
