package pipeline

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"weak"
)

var (
	errMoment = errors.New("temporary")
	errFault  = Permanent(errors.New("at fault"))
)

// recorder counts how often a delivery was freed and settled.
type recorder struct {
	mu             sync.Mutex
	freed, settled int
	outcome        error
}

func (r *recorder) delivery(v int) Delivery[int] {
	return NewDelivery(v, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.freed++
		if r.settled > 0 {
			panic("freed after it was settled")
		}
	}, func(err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.settled++
		r.outcome = err
	})
}

func TestSettleOnce(t *testing.T) {
	var r recorder
	d := r.delivery(1)
	d.Free()
	d.Free()
	if r.freed != 1 || r.settled != 0 {
		t.Fatalf("freed %d, settled %d after Free", r.freed, r.settled)
	}
	Carry(d, "one").Settle(nil)
	d.Settle(errMoment)
	if r.freed != 1 || r.settled != 1 || r.outcome != nil {
		t.Errorf("freed %d, settled %d with %v, want the first outcome once", r.freed, r.settled, r.outcome)
	}
	Delivery[int]{}.Settle(nil) // has no duties
}

// TestUnfold checks that the parent settles after the last child and the end, in any order, with the worst outcome.
func TestUnfold(t *testing.T) {
	for _, c := range []struct {
		children []error
		end      error
		endFirst bool
		want     error
	}{
		{},
		{end: errFault, want: errFault},
		{children: []error{nil, nil}},
		{children: []error{nil, errFault}, want: errFault},
		{children: []error{errMoment, nil}, end: errFault, want: errMoment},
		{children: []error{nil, nil}, end: errFault, endFirst: true, want: errFault},
	} {
		var r recorder
		add, end := Unfold[int, string](r.delivery(1))
		var children []Delivery[string]
		for range c.children {
			children = append(children, add("child"))
		}
		if c.endFirst {
			end(c.end)
		}
		for i, err := range c.children {
			if r.settled > 0 {
				t.Fatalf("%+v: settled before child %d", c, i)
			}
			children[i].Settle(err)
			children[i].Settle(errMoment) // has no effect
		}
		if !c.endFirst {
			if r.settled > 0 {
				t.Fatalf("%+v: settled before the end", c)
			}
			end(c.end)
		}
		if r.settled != 1 || r.freed != 1 || r.outcome != c.want { //nolint:errorlint // the same error, not wrapped
			t.Errorf("%+v: settled %d, freed %d, with %v", c, r.settled, r.freed, r.outcome)
		}
	}
}

// TestSplitProperty settles the leaves of random trees of splits in random order. The root must settle once, after the
// last leaf, with the worst outcome, and must be freed once.
func TestSplitProperty(t *testing.T) {
	outcomes := []error{nil, nil, nil, errFault, errMoment}
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var r recorder
		leaves := []Delivery[int]{r.delivery(0)}
		for range rng.IntN(4) {
			i := rng.IntN(len(leaves))
			leaves = append(leaves[:i:i], append(Split(leaves[i], make([]int, 1+rng.IntN(4))), leaves[i+1:]...)...)
		}
		rng.Shuffle(len(leaves), func(i, j int) { leaves[i], leaves[j] = leaves[j], leaves[i] })
		worst := 0
		for i, d := range leaves {
			if r.settled != 0 {
				t.Fatalf("seed %d: settled with %d leaves left", seed, len(leaves)-i)
			}
			err := outcomes[rng.IntN(len(outcomes))]
			worst = max(worst, severity(err))
			if rng.IntN(2) == 0 {
				d.Free()
			}
			d.Settle(err)
			d.Settle(errMoment) // has no effect
		}
		if r.settled != 1 || r.freed != 1 || severity(r.outcome) != worst {
			t.Fatalf("seed %d: settled %d, freed %d, outcome %v, want severity %d", seed, r.settled, r.freed, r.outcome, worst)
		}
	}
}

func TestSplitIntoNothing(t *testing.T) {
	var r recorder
	if got := Split(r.delivery(1), []string(nil)); got != nil || r.settled != 1 || r.freed != 1 || r.outcome != nil {
		t.Errorf("a filtered value: %v, %+v", got, &r)
	}
}

// TestJoinProperty settles random batches. Each parent must settle once, with its own outcome.
func TestJoinProperty(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 2))
		rs := make([]recorder, 1+rng.IntN(8))
		ds := make([]Delivery[int], len(rs))
		want := make([]error, len(rs))
		for i := range rs {
			ds[i] = rs[i].delivery(i)
		}
		var outcome error
		switch rng.IntN(3) {
		case 0:
		case 1:
			outcome = errMoment
			for i := range want {
				want[i] = errMoment
			}
		case 2:
			failed := map[int]error{}
			for i := range want {
				if rng.IntN(2) == 0 {
					want[i] = fmt.Errorf("item %d", i)
					failed[i] = want[i]
				}
			}
			outcome = fmt.Errorf("wrapped: %w", &PartialError{Failed: failed})
		}
		j := Join(ds)
		for i, v := range j.Value {
			if v != i {
				t.Fatalf("value %d at %d", v, i)
			}
		}
		j.Settle(outcome)
		j.Settle(nil)
		for i := range rs {
			if r := &rs[i]; r.settled != 1 || r.freed != 1 || !errors.Is(r.outcome, want[i]) {
				t.Fatalf("seed %d: parent %d settled %d times with %v, want %v", seed, i, r.settled, r.outcome, want[i])
			}
		}
	}
}

func TestErrors(t *testing.T) {
	if Permanent(nil) != nil || IsPermanent(nil) || IsPermanent(errMoment) ||
		!IsPermanent(fmt.Errorf("wrapped: %w", errFault)) {
		t.Error("IsPermanent is wrong")
	}
	p := &PartialError{Failed: map[int]error{7: errMoment, 3: errFault}}
	if got, want := p.Error(), "2 of the batch failed, first item 3: at fault"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(p, errMoment) {
		t.Error("errors.Is does not find the error of a value")
	}
	if err := Partial(nil); err != nil {
		t.Errorf("found %v without failures, want nil", err)
	}
}

// TestChildrenFreeParent checks that the children of a value do not keep its memory alive. A sink may hold back the
// last child of thousands of messages.
func TestChildrenFreeParent(t *testing.T) {
	for name, divide := range map[string]func(d Delivery[*[1 << 10]byte]) []Delivery[int]{
		"split": func(d Delivery[*[1 << 10]byte]) []Delivery[int] { return Split(d, []int{1, 2}) },
		"unfold": func(d Delivery[*[1 << 10]byte]) []Delivery[int] {
			add, end := Unfold[*[1 << 10]byte, int](d)
			out := []Delivery[int]{add(1), add(2)}
			end(nil)
			return out
		},
	} {
		settled := 0
		value := new([1 << 10]byte)
		kept := weak.Make(value)
		parts := divide(NewDelivery(value, nil, func(error) { settled++ }))
		runtime.GC()
		if kept.Value() != nil {
			t.Errorf("%s: the memory of the value is still in use", name)
		}
		for _, p := range parts {
			p.Settle(nil)
		}
		if settled != 1 {
			t.Errorf("%s: settled %d times, want once", name, settled)
		}
	}
}
