package classify

import (
	"reflect"
	"sync"
	"testing"
)

// TestPool checks that the classifications do not depend on the number of networks or of concurrent batches.
func TestPool(t *testing.T) {
	m := model(t, "softmax")
	one, err := New(m, Options{Threads: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	want, err := one.ProcessBatch(t.Context(), items(5))
	if err != nil {
		t.Fatal(err)
	}
	for n, networks := range map[int]int{0: 1, 1: 1, 2: 2, 3: 3, 9: 3} {
		p, err := NewPool(m, Options{Threads: 3}, n)
		if err != nil {
			t.Fatal(err)
		}
		if p.Networks() != networks || !reflect.DeepEqual(p.Input(), one.Input()) {
			t.Errorf("%d: found %d networks, want %d", n, p.Networks(), networks)
		}
		var all sync.WaitGroup
		for range growAfter {
			all.Go(func() {
				got, err := p.ProcessBatch(t.Context(), items(5))
				for i := range got {
					got[i].LatencyMS = want[i].LatencyMS
				}
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%d networks: found %+v (%v), want %+v", networks, got, err, want)
				}
			})
		}
		all.Wait()
		for range networks {
			if _, err := p.take(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if len(p.all) != networks {
			t.Errorf("%d: found %d networks in use, want %d", n, len(p.all), networks)
		}
		p.Close()
	}
}
