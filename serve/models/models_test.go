package models_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/testenv"

	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/ingest/array"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/batch"
	"github.com/voxelstream/voxelstream/serve/models"
)

// cells is the number of cells of the test models' input.
const cells = 8

// save writes a model of volumes of 2x2x2 values, which answers with certainty that they are of the given class of 10.
func save(t *testing.T, path string, class int) {
	t.Helper()
	dense := layers.NewDense(10, "softmax")
	m, err := nn.Sequential("constant", nn.Shape{2, 2, 2, 1}, layers.NewFlatten(), dense)
	if err != nil {
		t.Fatal(err)
	}
	for i := range dense.Params[0].Value {
		dense.Params[0].Value[i] = float32(i%7) / 10
	}
	dense.Params[1].Value[class] = 1000
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := format.Save(path+".new.safetensors", m); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new.safetensors", path); err != nil {
		t.Fatal(err)
	}
}

func load(ctx context.Context, path string) (*nn.Model, record.Model, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, record.Model{}, err
	}
	m, err := format.Load(ctx, path)
	sum := sha256.Sum256(data)
	digest := hex.EncodeToString(sum[:])
	return m, record.Model{Name: "?", Version: digest[:8], Digest: digest}, err
}

// open returns a repository that has loaded everything.
func open(t *testing.T, change func(*models.Options)) *models.Repository {
	t.Helper()
	o := models.Options{Settings: models.NewSettings(), Load: load, Threads: 2}
	o.Changed = func(model, version, what string, err error) { t.Log(model, version, what, err) }
	o.Watch = 20 * time.Millisecond
	change(&o)
	r := models.New(o)
	if err := r.Ready(t.Context()); err == nil {
		t.Error("the repository is ready before it has loaded anything")
	}
	if err := r.LoadAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	var watching sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	watching.Go(func() { r.Watch(ctx) })
	t.Cleanup(func() {
		stop()
		watching.Wait()
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return r
}

// input returns a tensor of rows with some numbers.
func input(rows int) models.Tensor {
	t := models.Tensor{Name: "input_layer", Type: models.FP32, Shape: []int64{int64(rows), 2, 2, 2, 1}}
	for i := range rows * cells {
		t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(float32(i%5)))
	}
	return t
}

// class returns the class that a version of a model answers for every row.
func class(r *models.Repository, name, version string, rows int) (int, error) {
	s, err := r.Model(name, version)
	if err != nil {
		return -1, err
	}
	return classOf(s, rows)
}

func classOf(s *models.Served, rows int) (int, error) {
	a, err := s.Infer(context.Background(), models.Request{
		Inputs: []models.Tensor{input(rows)}, Priority: batch.Normal,
	})
	if err != nil {
		return -1, err
	}
	out := a.Outputs[0]
	if len(a.Outputs) != 1 || !slices.Equal(out.Shape, []int64{int64(rows), 10}) || len(out.Data) != 40*rows {
		return -1, fmt.Errorf("found outputs %v", a.Outputs)
	}
	found := -1
	for i := range 10 * rows {
		if math.Float32frombits(binary.LittleEndian.Uint32(out.Data[4*i:])) == 1 {
			if found >= 0 && found != i%10 {
				return -1, fmt.Errorf("found classes %d and %d in one answer", found, i%10)
			}
			found = i % 10
		}
	}
	return found, nil
}

// want checks the class that a model answers.
func want(t *testing.T, r *models.Repository, name, version string, wanted int) {
	t.Helper()
	if got, err := class(r, name, version, 3); err != nil || got != wanted {
		t.Errorf("%s version %q: found class %d, %v, want %d", name, version, got, err, wanted)
	}
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(testenv.Patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not happen", what)
		}
	}
}

// reason returns the reason of an error.
func reason(err error) models.Reason {
	if e, ok := errors.AsType[*models.Error](err); ok {
		return e.Reason
	}
	return models.Reason(fmt.Sprint(err))
}

// TestFolder: versions come and go in a folder, and the newest one is current.
func TestFolder(t *testing.T) {
	dir := t.TempDir()
	at := func(version string) string { return filepath.Join(dir, "shapes", version, "model.safetensors") }
	save(t, at("2"), 2)
	save(t, at("9"), 9)
	save(t, at("1"), 1)
	save(t, filepath.Join(dir, "other", "1", "anything.safetensors"), 5)
	for _, d := range []string{"shapes/notes", "shapes/0", "shapes/3", "empty"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	r := open(t, func(o *models.Options) { o.Folder = dir })
	s, err := r.Model("shapes", "")
	if err != nil {
		t.Fatal(err)
	}
	if m := s.Metadata(); !slices.Equal(m.Versions, []string{"2", "9"}) || m.Version != "9" || m.Name != "shapes" ||
		m.Model.Name != "shapes" || m.Model.Version != "9" ||
		fmt.Sprint(m.Inputs) != "[{input_layer FP32 [-1 2 2 2 1]}]" {
		t.Errorf("found %+v", m)
	}
	want(t, r, "shapes", "", 9)
	want(t, r, "shapes", "2", 2)
	want(t, r, "other", "", 5)
	for _, missing := range [][2]string{{"shapes", "1"}, {"shapes", "x"}, {"nothing", ""}, {"empty", ""}} {
		if _, err := r.Model(missing[0], missing[1]); reason(err) != models.NotFound {
			t.Errorf("%v: found %v", missing, err)
		}
	}

	save(t, at("10"), 4)
	eventually(t, "version 10", func() bool { c, _ := class(r, "shapes", "", 1); return c == 4 })
	want(t, r, "shapes", "9", 9)
	if _, err := r.Model("shapes", "2"); reason(err) != models.NotFound {
		t.Errorf("version 2: found %v, want that it is gone, for two may be in memory", err)
	}
	want(t, r, "shapes", "10", 4)

	if n, err := r.Rollback("shapes"); err != nil || n != "9" {
		t.Errorf("found version %s, %v", n, err)
	}
	want(t, r, "shapes", "", 9)
	if err := r.Switch("shapes", "10"); err != nil {
		t.Error(err)
	}
	want(t, r, "shapes", "", 4)
	if err := r.Switch("shapes", "11"); reason(err) != models.NotFound {
		t.Errorf("found %v", err)
	}

	save(t, at("10"), 7) // in its place
	eventually(t, "the new file of version 10", func() bool { c, _ := class(r, "shapes", "10", 1); return c == 7 })
	want(t, r, "shapes", "", 7)

	if err := os.RemoveAll(filepath.Dir(at("10"))); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the removal of version 10", func() bool { _, err := r.Model("shapes", "10"); return err != nil })
	want(t, r, "shapes", "", 9)
	if err := os.RemoveAll(filepath.Join(dir, "other")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the removal of a model", func() bool {
		_, err := r.Model("other", "")
		return reason(err) == models.NotFound
	})
}

// TestHalfCopied: a file that is incomplete, or that grows, is never taken, and the version before it keeps answering.
func TestHalfCopied(t *testing.T) {
	dir := t.TempDir()
	path, next := filepath.Join(dir, "m.safetensors"), filepath.Join(dir, "next.safetensors")
	save(t, path, 1)
	save(t, next, 2)
	data, err := os.ReadFile(next)
	if err != nil {
		t.Fatal(err)
	}
	var failed atomic.Int64
	r := open(t, func(o *models.Options) {
		o.Files = []string{path}
		o.Changed = func(_, _, _ string, err error) {
			if err != nil {
				failed.Add(1)
			}
		}
	})
	f, err := os.Create(path) // truncates it in its place, as cp does
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it is a test
	third := len(data) / 3
	for i := range 3 {
		part := data[i*third:]
		if i < 2 {
			part = part[:third]
		}
		want(t, r, "m", "", 1)
		before := failed.Load()
		if _, err := f.Write(part); err != nil {
			t.Fatal(err)
		}
		if i < 2 {
			eventually(t, "an attempt to load the part", func() bool { return failed.Load() > before })
		}
		want(t, r, "m", "", 1)
	}
	eventually(t, "the complete file", func() bool { c, _ := class(r, "m", "", 1); return c == 2 })
	if n, err := r.Rollback("m"); err != nil || n == "" { // the version before it is in memory, though its file is gone
		t.Error(n, err)
	}
	want(t, r, "m", "", 1)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	want(t, r, "m", "", 1)
}

// TestVerification: a model that is not what it should be is not taken.
func TestVerification(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m", "1", "model.safetensors")
	save(t, path, 3)
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	vector := func(name string, shape []int, values []float32) {
		t.Helper()
		var b strings.Builder
		if err := array.WriteFloat32(&b, shape, values); err != nil {
			t.Fatal(err)
		}
		write(name, []byte(b.String()))
	}
	var r *models.Repository
	refused := func(text string) {
		t.Helper()
		err := r.Load(t.Context(), "m")
		if reason(err) != models.Invalid || !strings.Contains(err.Error(), text) {
			t.Errorf("found %v, want %s", err, text)
		}
		want(t, r, "m", "", 3)
		if s := r.Models(); len(s) != 1 || s[0].State != models.StateReady || !strings.Contains(s[0].Reason, text) {
			t.Errorf("found %+v", s)
		}
	}
	r = open(t, func(o *models.Options) {
		o.Folder, o.Watch = dir, 0
	})
	model, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write("model.safetensors.sha256", []byte(strings.Repeat("0", 64)+"  model.safetensors\n"))
	refused("SHA-256")
	write("model.safetensors.sha256", fmt.Appendf(nil, "%x  model.safetensors\n", sha256.Sum256(model)))
	if err := r.Load(t.Context(), "m"); err != nil {
		t.Error(err)
	}
	y := make([]float32, 20)
	y[3], y[13] = 1, 1
	vector("model.test_input.npy", []int{2, 2, 2, 2, 1}, make([]float32, 16))
	vector("model.test_output.npy", []int{2, 10}, y)
	if err := r.Load(t.Context(), "m"); err != nil {
		t.Error(err)
	}
	y[13] = .9
	vector("model.test_output.npy", []int{2, 10}, y)
	refused("row 1, element 3: found 1, want 0.9")
	vector("model.test_output.npy", []int{1, 10}, y[:10])
	refused("found 1 rows, want 2")

	dense := layers.NewDense(2, "softmax")
	m, err := nn.Sequential("bad", nn.Shape{2, 2, 2, 1}, layers.NewFlatten(), dense)
	if err != nil {
		t.Fatal(err)
	}
	dense.Params[0].Value[5] = float32(math.Inf(1))
	if err := format.Save(path, m); err != nil {
		t.Fatal(err)
	}
	write("model.safetensors.sha256", nil)
	if err := os.Remove(path + ".sha256"); err != nil {
		t.Fatal(err)
	}
	refused("want finite numbers")
}

// TestReload: a model is replaced again and again under load. Every request is answered, by one of the models, and the
// answer of a request does not mix two.
func TestReload(t *testing.T) {
	reloads := 60
	if testing.Short() {
		reloads = 10
	}
	path := filepath.Join(t.TempDir(), "m.safetensors")
	save(t, path, 0)
	r := open(t, func(o *models.Options) { o.Files, o.Watch, o.Queue = []string{path}, 0, 1000 })
	var answered, changes atomic.Int64
	var all sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	held, err := r.Model("m", "")
	if err != nil {
		t.Fatal(err)
	}
	for g := range 4 {
		all.Go(func() {
			last := 0
			for ctx.Err() == nil {
				c, err := class(r, "m", "", 1+g*50) // more rows than a batch has, too
				if g == 1 {
					c, err = classOf(held, 1) // outlives its version
				}
				if err != nil || c < 0 {
					t.Errorf("found class %d, %v", c, err)
					return
				}
				if c != last {
					changes.Add(1)
				}
				last = c
				answered.Add(1)
			}
		})
	}
	for i := range reloads {
		save(t, path, (i+1)%10)
		if err := r.Load(t.Context(), "m"); err != nil {
			t.Error(err)
		}
		want(t, r, "m", "", (i+1)%10)
	}
	stop()
	all.Wait()
	t.Logf("%d requests during %d reloads, %d changes", answered.Load(), reloads, changes.Load())
	if changes.Load() == 0 {
		t.Error("no request saw a change")
	}
	if s := r.Models(); len(s) != 2 {
		t.Errorf("found %d versions in memory, want 2: %+v", len(s), s)
	}
}

// TestUnload: a model that is unloaded finishes its requests, refuses others, and comes back when it is loaded.
func TestUnload(t *testing.T) {
	dir := t.TempDir()
	save(t, filepath.Join(dir, "m", "1", "model.safetensors"), 1)
	r := open(t, func(o *models.Options) { o.Folder = dir })
	s, err := r.Model("m", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Unload("m"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // the watcher leaves it alone
	if _, err := classOf(s, 1); reason(err) != models.Unavailable {
		t.Errorf("found %v", err)
	}
	if all := r.Models(); len(all) != 1 || all[0].State != models.StateUnavailable || all[0].Reason != "unloaded" {
		t.Errorf("found %+v", all)
	}
	if err := r.Load(t.Context(), "m"); err != nil {
		t.Fatal(err)
	}
	want(t, r, "m", "1", 1)
	if _, err := classOf(s, 1); err != nil {
		t.Error(err)
	}
	for _, err := range []error{r.Unload("x"), r.Load(t.Context(), "x"), r.Switch("x", "1")} {
		if reason(err) != models.NotFound {
			t.Errorf("found %v", err)
		}
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := classOf(s, 1); err == nil {
		t.Error("a closed repository answered")
	}
	if r.Ready(t.Context()) == nil {
		t.Error("a closed repository is ready")
	}
}

// TestStart: a file that cannot be loaded is an error at the start; a broken model of a folder is not.
func TestStart(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad", "1", "model.safetensors")
	save(t, bad, 1)
	if err := os.Truncate(bad, 100); err != nil {
		t.Fatal(err)
	}
	good := filepath.Join(dir, "good", "1", "model.safetensors")
	save(t, good, 1)
	for _, files := range [][]string{{bad}, {"/does/not/exist.keras"}, {good, "model=" + good}} {
		r := models.New(models.Options{Settings: models.NewSettings(), Files: files, Load: load})
		if err := r.LoadAll(t.Context()); err == nil {
			t.Errorf("%v: found no error", files)
		}
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	r := open(t, func(o *models.Options) { o.Folder = dir })
	want(t, r, "good", "", 1)
	if _, err := r.Model("bad", ""); reason(err) != models.Unavailable {
		t.Errorf("found %v", err)
	}
	save(t, bad, 6)
	eventually(t, "the repair", func() bool { c, _ := class(r, "bad", "", 1); return c == 6 })
}

// TestRequests: tensors that are not what the model takes are refused.
func TestRequests(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.safetensors")
	save(t, path, 1)
	r := open(t, func(o *models.Options) { o.Files = []string{"named=" + path} })
	s, err := r.Model("named", "")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*models.Request){
		"no input":      func(q *models.Request) { q.Inputs = nil },
		"another input": func(q *models.Request) { q.Inputs[0].Name = "x" },
		"two inputs":    func(q *models.Request) { q.Inputs = append(q.Inputs, q.Inputs[0]) },
		"type":          func(q *models.Request) { q.Inputs[0].Type = "FP64" },
		"no type":       func(q *models.Request) { q.Inputs[0].Type = "" },
		"shape":         func(q *models.Request) { q.Inputs[0].Shape = []int64{1, 2, 2, 1, 2} },
		"axes":          func(q *models.Request) { q.Inputs[0].Shape = []int64{2, 2, 2, 1} },
		"no shape":      func(q *models.Request) { q.Inputs[0].Shape = nil },
		"no rows":       func(q *models.Request) { q.Inputs[0].Shape[0], q.Inputs[0].Data = 0, nil },
		"negative":      func(q *models.Request) { q.Inputs[0].Shape[0] = -1 },
		"huge":          func(q *models.Request) { q.Inputs[0].Shape[0] = math.MaxInt64 },
		"less data":     func(q *models.Request) { q.Inputs[0].Data = q.Inputs[0].Data[1:] },
		"no data":       func(q *models.Request) { q.Inputs[0].Data = nil },
		"more data":     func(q *models.Request) { q.Inputs[0].Data = append(q.Inputs[0].Data, 0) },
		"output":        func(q *models.Request) { q.Outputs = []string{"x"} },
		"output twice":  func(q *models.Request) { q.Outputs = []string{"dense", "dense"} },
	} {
		q := models.Request{Inputs: []models.Tensor{input(1)}, Priority: batch.Normal}
		change(&q)
		if _, err := s.Infer(t.Context(), q); reason(err) != models.Invalid {
			t.Errorf("%s: found %v", name, err)
		}
	}
	ended, cancel := context.WithTimeout(t.Context(), -time.Second)
	defer cancel()
	if _, err := s.Infer(ended, models.Request{Inputs: []models.Tensor{input(1)}}); reason(err) != models.Expired {
		t.Errorf("found %v", err)
	}
	ended, cancel = context.WithCancel(t.Context())
	cancel()
	if _, err := s.Infer(ended, models.Request{Inputs: []models.Tensor{input(1)}}); reason(err) != models.Canceled {
		t.Errorf("found %v", err)
	}
	if _, err := classOf(s, 3); err != nil {
		t.Error(err)
	}
	st := s.Statistics()
	if st.Rows != 3 || st.Batches != 1 || st.Success.Count != 1 || st.Fail.Count != 18 || st.Infer.Count != 1 {
		t.Errorf("found %+v", st)
	}
}

// TestOverload: requests beyond the queue are rejected, and a large request alone never is.
func TestOverload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.safetensors")
	save(t, path, 1)
	r := open(t, func(o *models.Options) { o.Files, o.Batch, o.Queue, o.Networks = []string{path}, 2, 1, 1 })
	want(t, r, "m", "", 1)
	if c, err := class(r, "m", "", 999); err != nil || c != 1 {
		t.Errorf("found class %d, %v", c, err)
	}
	var refused atomic.Pointer[models.Error]
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for end := time.Now().Add(testenv.Patience); refused.Load() == nil && time.Now().Before(end); {
				_, err := class(r, "m", "", 50)
				if e, ok := errors.AsType[*models.Error](err); ok {
					refused.Store(e)
				}
			}
		})
	}
	all.Wait()
	if e := refused.Load(); e == nil || e.Reason != models.Overloaded || e.RetryAfter < time.Second {
		t.Errorf("found %+v", e)
	}
}

// TestClassify: volumes are classified as the classifier of the pipeline does, many at once, and bad ones are named.
func TestClassify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.safetensors")
	save(t, path, 1)
	r := open(t, func(o *models.Options) { o.Files = []string{path} })
	s, err := r.Model("m", "")
	if err != nil {
		t.Fatal(err)
	}
	items := make([]classify.Item, 150)
	for i := range items {
		values := make([]float32, cells)
		values[i%cells] = float32(i)
		items[i].Volume = s.Input().Volume(values, nil)
		items[i].ID = record.ID{Stream: "s", Seq: uint64(i)}
	}
	items[77].Dims[0] = 3
	items[149].Values = []float32{1}
	got, err := s.Classify(t.Context(), items, batch.Normal)
	var partial *pipeline.PartialError
	if reason(err) != models.Invalid || !errors.As(err, &partial) || len(partial.Failed) != 2 ||
		partial.Failed[77] == nil || partial.Failed[149] == nil {
		t.Errorf("found %v", err)
	}
	m, info, err := load(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	info.Name = "m"
	c, err := classify.New(m, classify.Options{Model: info})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	expected, _ := c.ProcessBatch(t.Context(), items)
	if fmt.Sprint(got) != fmt.Sprint(expected) {
		t.Errorf("found %v, want %v", got, expected)
	}
	if none, err := s.Classify(t.Context(), nil, batch.Normal); err != nil || len(none) != 0 {
		t.Error(none, err)
	}
}
