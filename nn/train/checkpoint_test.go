package train

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/mutants"
	"github.com/voxelstream/voxelstream/nn"
)

// slowRows hides that rows are in memory.
type slowRows struct{ Rows }

// everything is a training with all that has state.
func everything(m *nn.Model) Options {
	o := NewAdamW(m, .05, .01)
	o.EMA.Momentum, o.Clip.GlobalNorm = .9, 1
	return Options{
		Epochs: 6, BatchSize: 16, ValidationSplit: .25, Shuffle: true, Seed: 5, Optimizer: o, Memory: 1,
		EarlyStopping: &EarlyStopping{Monitor: "val_loss", Patience: 4, Restore: true},
		Plateau:       &ReduceOnPlateau{Monitor: "loss", Factor: .5, Patience: 1, MinDelta: .02},
	}
}

func weights(m *nn.Model) []float32 {
	var all []float32
	for _, p := range m.Params() {
		all = append(all, p.Value...)
	}
	return all
}

// TestResume stops a training behind each of its steps and goes on in another model: history and weights are those
// of the unbroken one, bit for bit, whatever is kept about the training, with rows in memory and without.
func TestResume(t *testing.T) {
	for name, rows := range map[string]Rows{"memory": blobs(200), "blocks": slowRows{blobs(200)}} {
		t.Run(name, func(t *testing.T) {
			m := perceptron()
			want := must(Fit(t.Context(), m, rows, everything(m)))
			steps := len(want.Loss) * 10 // of 150 rows each
			for stop := 1; stop < steps; stop += 3 {
				path := filepath.Join(t.TempDir(), "state")
				broken := perceptron()
				o := everything(broken)
				ctx, cancel := context.WithCancel(t.Context())
				o.Checkpoint.Path = path
				o.Progress = func(p Progress) error {
					if !p.Done && p.Step == uint64(stop) {
						cancel()
					}
					return nil
				}
				if _, err := Fit(ctx, broken, rows, o); !errors.Is(err, context.Canceled) {
					t.Fatalf("stopped behind step %d: got %v", stop, err)
				}
				again := perceptron()
				o = everything(again)
				o.Checkpoint.Path, o.Checkpoint.Resume, o.Threads = path, true, stop%3+1
				got := must(Fit(t.Context(), again, rows, o))
				want.SamplesPerSecond, got.SamplesPerSecond = 0, 0
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("stopped behind step %d: got history\n%+v, want\n%+v", stop, got, want)
				}
				if !slices.Equal(weights(again), weights(m)) {
					t.Fatalf("stopped behind step %d: other weights", stop)
				}
			}
		})
	}
}

// TestResumeIsRefused names what is different.
func TestResumeIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	run := func(rows int, resume bool, change func(*Options)) error {
		m := perceptron()
		o := Options{Epochs: 2, BatchSize: 10, LearningRate: .01, Seed: 1, Checkpoint: Checkpointing{Path: path, Resume: resume}}
		change(&o)
		_, err := Fit(t.Context(), m, blobs(rows), o)
		return err
	}
	if err := run(40, false, func(*Options) {}); err != nil {
		t.Fatal(err)
	}
	if err := run(40, true, func(o *Options) { o.Epochs = 3 }); err != nil {
		t.Errorf("more epochs: %v", err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Options){
		"batch size: the checkpoint has 10, this run has 20": func(o *Options) { o.BatchSize = 20 },
		"seed":                    func(o *Options) { o.Seed = 2 },
		"optimizer":               func(o *Options) { o.LearningRate = .02 },
		"shuffle":                 func(o *Options) { o.Shuffle = true },
		"loss":                    func(o *Options) { o.Loss = MeanSquaredError{} },
		"source: the checkpoint ": func(o *Options) { o.Checkpoint.Settings = map[string]string{"source": "x"} },
		"found epoch 4":           func(o *Options) { o.Epochs = 1 },
	} {
		if err := run(40, true, change); !errors.Is(err, ErrCheckpoint) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if err := run(50, true, func(*Options) {}); err == nil || !strings.Contains(err.Error(), "data: the checkpoint has") {
		t.Errorf("other data: got %v", err)
	}
	for at := 0; at < len(good); at += 1 + len(good)/97 {
		if err := os.WriteFile(path, good[:at], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := run(40, true, func(*Options) {}); !errors.Is(err, ErrCheckpoint) {
			t.Errorf("cut to %d bytes: got %v", at, err)
		}
	}
	bad := slices.Clone(good)
	bad[len(bad)-5] ^= 1
	if err := os.WriteFile(path, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(40, true, func(*Options) {}); !errors.Is(err, ErrCheckpoint) || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a flipped bit: got %v", err)
	}
}

// FuzzCheckpoint wants an error or a position for any bytes, and nothing else.
func FuzzCheckpoint(f *testing.F) {
	m := mutants.New(f, "checkpoint")
	tensors := func() []tensor { return []tensor{{"a", nn.Shape{2}, make([]float32, 2)}} }
	p := &position{Version: checkpointVersion, Epoch: 1, History: &History{}}
	header := must(encodeHeader(p, tensors(), 0))
	good := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
	m.Add(append(good, make([]byte, 8)...))
	m.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\x7f{}"))
	m.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = decodeCheckpoint(bytes.NewReader(data), nil, tensors())
	})
}

// TestBlockShuffle wants each row once an epoch, in another order each time, and no more than the limit in memory.
func TestBlockShuffle(t *testing.T) {
	const rows, size = 1003, 2000
	d := &Data{Index: make([]uint8, rows*size), Palette: &nn.Palette{Channels: 1}, Labels: make([]int32, rows)}
	for i := range d.Labels {
		d.Labels[i] = int32(i)
		d.Index[i*size] = uint8(i)
	}
	f := newFeed(slowRows{d}, size, true, 1, 3<<20/2)
	if f.window >= rows || f.window*size > 3<<20/2 || f.window%f.block != 0 {
		t.Fatalf("got a window of %d rows in blocks of %d", f.window, f.block)
	}
	epoch := func(n, batch int) (order []int32) {
		for row := 0; row < rows; row += batch {
			b := newBatch(min(batch, rows-row))
			b.Index = make([]uint8, len(b.Labels)*size)
			if err := f.load(t.Context(), b, n, row); err != nil {
				t.Fatal(err)
			}
			for i, label := range b.Labels {
				if b.Index[i*size] != uint8(label) {
					t.Fatalf("row %d has the voxels of another", label)
				}
			}
			order = append(order, b.Labels...)
		}
		return order
	}
	first, second := epoch(1, 64), epoch(2, 64)
	if slices.Equal(first, second) || slices.IsSorted(first) {
		t.Error("epochs are not shuffled")
	}
	if !slices.Equal(first, epoch(1, 7)) {
		t.Error("the order depends on the batches")
	}
	slices.Sort(first)
	for i, v := range first {
		if v != int32(i) {
			t.Fatalf("row %d is missing or doubled", i)
		}
	}
}

// TestShuffleIsUniform counts where each row comes over many epochs, and which one follows it, across the ends of
// batches too: everywhere as often.
func TestShuffleIsUniform(t *testing.T) {
	const rows, batch, epochs = 10, 4, 2000
	d := &Data{X: make([]float32, rows), Labels: make([]int32, rows)}
	for i := range d.Labels {
		d.Labels[i] = int32(i)
	}
	f := newFeed(d, 1, true, 7, 0)
	var places, pairs [rows][rows]float64
	for n := 1; n <= epochs; n++ {
		var order []int32
		for row := 0; row < rows; row += batch { // the last has two
			b := newBatch(min(batch, rows-row))
			b.X = make([]float32, len(b.Labels))
			if err := f.load(t.Context(), b, n, row); err != nil {
				t.Fatal(err)
			}
			order = append(order, b.Labels...)
		}
		for i, row := range order {
			places[i][row]++
			if i > 0 {
				pairs[order[i-1]][row]++
			}
		}
	}
	chi := func(counts [rows][rows]float64, want float64, skip bool) (sum float64) {
		for i, row := range counts {
			for j, n := range row {
				if !skip || i != j {
					sum += (n - want) * (n - want) / want
				}
			}
		}
		return sum
	}
	// Chi-squared of 81 degrees of freedom is above 137, and of 89 above 147, once in ten thousand times.
	if got := chi(places, epochs/rows, false); got > 137 {
		t.Errorf("rows favour places: chi-squared is %.0f", got)
	}
	if got := chi(pairs, epochs/rows, true); got > 147 {
		t.Errorf("rows favour neighbours: chi-squared is %.0f", got)
	}
}

// TestStepsOfFitDoNotAllocate counts allocations between two steps of an epoch.
func TestStepsOfFitDoNotAllocate(t *testing.T) {
	m := perceptron()
	o := everything(m)
	o.Epochs, o.Loss, o.ClassWeight = 1, &CategoricalCrossentropy{LabelSmoothing: .1}, []float64{1, 2, 3}
	var before, after runtime.MemStats
	o.Progress = func(p Progress) error {
		switch {
		case p.Step == 3 && !p.Done:
			runtime.ReadMemStats(&before)
		case p.Step == 8 && !p.Done:
			runtime.ReadMemStats(&after)
		}
		return nil
	}
	must(Fit(t.Context(), m, blobs(200), o))
	if n := after.Mallocs - before.Mallocs; n > 2 { // the runtime's own
		t.Errorf("got %d allocations in five steps", n)
	}
}

// TestSplitKeepsGroups counts the rows that are trained on.
func TestSplitKeepsGroups(t *testing.T) {
	for _, c := range []struct {
		n, group, want int
		split          float64
	}{{100, 0, 75, .25}, {100, 2, 74, .25}, {101, 2, 70, .3}, {101, 2, 101, 0}, {10, 5, 5, .3}} {
		o := Options{ValidationSplit: c.split, Group: c.group}
		if got := must(o.split(c.n)); got != c.want {
			t.Errorf("%+v: got %d rows", c, got)
		}
	}
	o := Options{ValidationSplit: .5, Group: 8}
	if _, err := o.split(10); err == nil {
		t.Error("no rows are left, and no error")
	}
}
