package classify

import (
	"strings"
	"sync"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/record"
)

func pool(t *testing.T, m *nn.Model, name string, n int) *Pool {
	t.Helper()
	p, err := NewPool(m, Options{Model: record.Model{Name: name}, Threads: n, Preferences: onPalette}, n)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestSwitch replaces the model while others classify: every batch is classified by one model, as that model does.
func TestSwitch(t *testing.T) {
	a, b := model(t, "softmax"), model(t, "softmax")
	b.Init(6)
	names := map[string]*nn.Model{"a": a, "b": b}
	all := items(6)
	want := map[string][]record.Classification{}
	for name, m := range names {
		p := pool(t, m, name, 1)
		got, err := p.ProcessBatch(t.Context(), all)
		if err != nil {
			t.Fatal(err)
		}
		want[name] = got
		p.Close()
	}
	if want["a"][0].Score == want["b"][0].Score {
		t.Fatal("the models do not differ")
	}
	s := NewSwitch(pool(t, a, "a", 2))
	stop := make(chan struct{})
	var users sync.WaitGroup
	for range 3 {
		users.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				got, err := s.ProcessBatch(t.Context(), all)
				if err != nil {
					t.Error(err)
					return
				}
				name := got[0].Model.Name
				for i, c := range got {
					if w := want[name][i]; c.Model.Name != name || c.Score != w.Score || c.Class != w.Class {
						t.Errorf("found %+v, want %+v", c, w)
					}
				}
			}
		})
	}
	for range 20 {
		for _, name := range []string{"b", "a"} {
			if err := s.Replace(pool(t, names[name], name, 2)); err != nil {
				t.Fatal(err)
			}
			if got, err := s.ProcessBatch(t.Context(), all); err != nil || got[0].Model.Name != name {
				t.Fatalf("found %+v, %v, want model %s", got, err, name)
			}
		}
	}
	close(stop)
	users.Wait()
	s.Close()
}

func TestTakesSame(t *testing.T) {
	in := Input{Dims: [3]int{4, 4, 4}, Channels: 1, Values: "raw"}
	palette := func(values string) *Input {
		m := model(t, "softmax")
		m.Values = values
		in, err := InputOf(m, Preferences{})
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	if err := palette("").TakesSame(palette("")); err != nil {
		t.Error(err)
	}
	if err := in.TakesSame(&in); err != nil {
		t.Error(err)
	}
	larger, deeper, scaled, colours := in, in, in, *palette("")
	larger.Dims[0], deeper.Channels, scaled.Values = 5, 2, "window:0:1"
	colours.Dims = in.Dims
	for want, other := range map[string]*Input{
		"takes 5x4x4 cells, want 4x4x4": &larger, "raw values of 2 channels": &deeper,
		"scaled by window:0:1": &scaled, "palette Oranges, want raw values of 1 channel": &colours,
	} {
		if err := in.TakesSame(other); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("found %v, want %q", err, want)
		}
	}
	s := NewSwitch(pool(t, model(t, "softmax"), "a", 1))
	defer s.Close()
	other := model(t, "softmax")
	other.Colormap = "viridis"
	p := pool(t, other, "b", 1)
	defer p.Close()
	if err := s.Replace(p); err == nil || !strings.Contains(err.Error(), "palette viridis, want palette Oranges") {
		t.Errorf("found %v", err)
	}
}
