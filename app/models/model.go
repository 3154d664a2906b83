package models

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/dataset/mnist3d"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

// builtin holds the network of the ten digits; its README says which command made it.
//
//go:embed builtin
var builtin embed.FS

// builtinModel is its name: classifications that it made are told by it.
const builtinModel = "digits"

// maxModel bounds a model file.
const maxModel = 4 << 30

// Loaded is a model with what classifications say of it.
type Loaded struct {
	*nn.Model
	Info record.Model
}

// Load reads a model file, or the built-in model where path is empty.
func Load(ctx context.Context, path string) (*Loaded, error) {
	if path == "" {
		return loadBuiltin(ctx)
	}
	digest, err := fileDigest(path)
	if err != nil {
		return nil, err
	}
	m, err := format.Load(ctx, path)
	if err != nil {
		return nil, err
	}
	return &Loaded{m, modelInfo(strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), digest)}, nil
}

func loadBuiltin(ctx context.Context) (*Loaded, error) {
	data, err := builtin.ReadFile("builtin/" + builtinModel + ".safetensors")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("this binary has no built-in model: give one by --model (model.path)")
	}
	if err != nil {
		return nil, err
	}
	m, err := format.Decode(ctx, data)
	if err != nil {
		return nil, fmt.Errorf("built-in model: %w", err)
	}
	sum := sha256.Sum256(data)
	return &Loaded{m, modelInfo(builtinModel, hex.EncodeToString(sum[:]))}, nil
}

// modelInfo names a model; its version is the beginning of its digest, so that every change of the file is a new version.
func modelInfo(name, digest string) record.Model {
	return record.Model{Name: name, Version: digest[:8], Digest: digest}
}

// Savable says whether a path's extension names a format that models are written in.
func Savable(path string) error {
	ext := strings.ToLower(filepath.Ext(path))
	if want := []string{".keras", ".h5", ".hdf5", ".onnx", ".safetensors"}; !slices.Contains(want, ext) {
		return fmt.Errorf("%s: found extension %q, want one of %s", path, ext, strings.Join(want, ", "))
	}
	return nil
}

func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, maxModel+1))
	if err != nil {
		return "", err
	}
	if n > maxModel {
		return "", fmt.Errorf("%s: found more than %d bytes, the limit of a model", path, int64(maxModel))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Fit gives the options whose volumes a model takes.
func Fit(m *nn.Model, vo voxelize.Options) (voxelize.Options, error) {
	dims, err := classify.Dims(m)
	if err != nil {
		return vo, err
	}
	palette, err := classify.Palette(m, vo.Colormap)
	if err != nil {
		return vo, err
	}
	vo.Dims, vo.Colormap = dims, palette.Name
	return vo, nil
}

// ModelSummary shows a model's layers as Keras does.
func ModelSummary(ctx context.Context, a *app.Env, path, svg string) error {
	m, err := Load(ctx, path)
	if err != nil {
		return err
	}
	if svg != "" {
		if err := os.WriteFile(svg, []byte(m.SVG()), 0o644); err != nil {
			return err
		}
	}
	total, trainable := m.Count()
	type layer struct {
		Name       string   `json:"name"`
		Class      string   `json:"class"`
		Inputs     []string `json:"inputs"`
		Output     nn.Shape `json:"output"`
		Parameters int      `json:"parameters"`
	}
	layers := []layer{}
	for _, n := range m.Nodes() {
		if n.Layer == nil {
			continue
		}
		l := layer{Name: n.Name(), Class: n.Layer.Class(), Output: n.Shape}
		for _, in := range n.Inputs {
			l.Inputs = append(l.Inputs, in.Name())
		}
		for _, p := range n.Layer.Base().Params {
			l.Parameters += len(p.Value)
		}
		layers = append(layers, l)
	}
	return a.Print(struct {
		record.Model
		Input      nn.Shape `json:"input"`
		Output     nn.Shape `json:"output"`
		Layers     []layer  `json:"layers"`
		Parameters int      `json:"parameters"`
		Trainable  int      `json:"trainable"`
		Precision  string   `json:"precision,omitempty"`
	}{m.Info, m.Inputs()[0].Shape, m.Outputs()[0].Shape, layers, total, trainable, m.Precision.Kind}, func(w io.Writer) {
		fmt.Fprint(w, m.Summary(nn.SummaryWidth))
		if m.Precision.Kind != "" {
			fmt.Fprintf(w, " Infers in %s.\n", m.Precision.Kind)
		}
	})
}

// ModelConvert writes a model in another format, which the extension of out names.
func ModelConvert(ctx context.Context, a *app.Env, in, out string) error {
	if err := Savable(out); err != nil {
		return app.Usage(err)
	}
	m, err := Load(ctx, in)
	if err != nil {
		return err
	}
	if err := format.Save(out, m.Model); err != nil {
		return err
	}
	total, _ := m.Count()
	return a.Print(struct {
		Model      string `json:"model"`
		Parameters int    `json:"parameters"`
	}{out, total}, func(w io.Writer) { fmt.Fprintf(w, "%s: %d parameters\n", out, total) })
}

// predictBatch is how many rows ModelPredict computes at once.
const predictBatch = 64

// ModelPredict runs a model on the rows of a .npy file, in the model's own axis order, and writes its outputs to another.
func ModelPredict(ctx context.Context, a *app.Env, path, input, output string) error {
	if input == "" || output == "" {
		return app.Usage(errors.New("--input and --output: want two .npy files"))
	}
	m, err := Load(ctx, path)
	if err != nil {
		return err
	}
	if len(m.Inputs()) != 1 || len(m.Outputs()) != 1 {
		return fmt.Errorf("model %s: found %d inputs and %d outputs, want one of each", m.Name, len(m.Inputs()), len(m.Outputs()))
	}
	in, out := m.Inputs()[0].Shape, m.Outputs()[0].Shape
	rows, x, err := readNPY(input, in)
	if err != nil {
		return err
	}
	plan, err := m.Compile(min(predictBatch, rows), nn.Options{Threads: a.Threads()})
	if err != nil {
		return err
	}
	defer plan.Close()
	var y []float32
	for lo := 0; lo < rows; lo += plan.Batch() {
		if err := ctx.Err(); err != nil {
			return app.ErrInterrupted
		}
		n := min(plan.Batch(), rows-lo)
		copy(plan.Input(0), x[lo*in.Size():(lo+n)*in.Size()])
		if err := plan.Forward(n, false, 0); err != nil {
			return err
		}
		y = append(y, plan.Output(0)...)
	}
	if err := ingest.WriteFile(output, func(w io.Writer) error { return writeNPY(w, append([]int{rows}, out...), y) }); err != nil {
		return err
	}
	return a.Print(struct {
		Rows   int    `json:"rows"`
		Output string `json:"output"`
	}{rows, output}, func(w io.Writer) { fmt.Fprintf(w, "%s: %d rows\n", output, rows) })
}

// VerifyResult is the result of model verify.
type VerifyResult struct {
	record.Model
	// Passes compares the optimised plan with the plain one, Threads one thread with all: the largest difference of an output.
	Passes  float64 `json:"max_difference_passes"`
	Threads float64 `json:"max_difference_threads"`
	Rows    int     `json:"rows"`
	Tier    string  `json:"tier"`
}

// verifyRows is how many rows ModelVerify computes.
const verifyRows = 16

// passTolerance is how far an output may move by the optimisation passes: they sum in another order, in float32.
const passTolerance = 1e-4

// ModelVerify checks that a model's parameters are numbers, that the optimised network computes what the plain one does, and that the number of
// threads does not matter.
func ModelVerify(ctx context.Context, a *app.Env, path string) error {
	m, err := Load(ctx, path)
	if err != nil {
		return err
	}
	for _, p := range m.Params() {
		if i := slices.IndexFunc(p.Value, func(v float32) bool { return !finite(float64(v)) }); i >= 0 {
			return fmt.Errorf("model %s: parameter %s: found %g at %d, want finite numbers", m.Name, p.Name, p.Value[i], i)
		}
	}
	feed, err := feedFor(ctx, a, m, verifyRows)
	if err != nil {
		return err
	}
	exact := m.In(nn.Precision{}) // the passes are compared in float32
	plain, err := output(exact, nn.Options{Threads: 1, Without: []string{"all"}}, feed)
	if err != nil {
		return err
	}
	fast, err := output(exact, nn.Options{Threads: 1}, feed)
	if err != nil {
		return err
	}
	one, err := output(m.Model, nn.Options{Threads: 1}, feed)
	if err != nil {
		return err
	}
	many, err := output(m.Model, nn.Options{Threads: max(2, a.Threads())}, feed)
	if err != nil {
		return err
	}
	r := VerifyResult{Model: m.Info, Passes: distance(plain, fast), Threads: distance(one, many), Rows: verifyRows, Tier: nn.Tier()}
	if err := a.Print(r, func(w io.Writer) {
		fmt.Fprintf(w, "%s, version %s: largest difference by passes %.2g (allowed %g), by threads %g, kernels %s\n",
			r.Name, r.Version, r.Passes, passTolerance, r.Threads, r.Tier)
	}); err != nil {
		return err
	}
	if !(r.Passes <= passTolerance) || r.Threads != 0 {
		return fmt.Errorf("model %s: outputs differ by %g between optimised and plain, by %g between one thread and more", m.Name, r.Passes, r.Threads)
	}
	return nil
}

func finite(v float64) bool { return v-v == 0 }

func distance(a, b []float32) float64 {
	most := 0.0
	for i := range a {
		most = math.Max(most, math.Abs(float64(a[i])-float64(b[i]))) // math.Max, because it hands a NaN on
	}
	return most
}

// output is the model's first output for what feed puts in.
func output(m *nn.Model, o nn.Options, feed *feed) ([]float32, error) {
	o.Palette = feed.palette
	plan, err := m.Compile(verifyRows, o)
	if err != nil {
		return nil, err
	}
	defer plan.Close()
	feed.load(plan)
	if err := plan.Forward(verifyRows, false, 0); err != nil {
		return nil, err
	}
	return slices.Clone(plan.Output(0)), nil
}

// feed is input to try a model with: drawn digits where it takes volumes, else random numbers.
type feed struct {
	palette *nn.Palette
	index   []uint8
	dense   [][]float32 // by input
	labels  []int32
}

func (f *feed) load(p *nn.Plan) {
	if f.palette != nil {
		copy(p.Index(), f.index)
		return
	}
	for i, x := range f.dense {
		copy(p.Input(i), x)
	}
}

func feedFor(ctx context.Context, a *app.Env, m *Loaded, rows int) (*feed, error) {
	if _, err := classify.Dims(m.Model); err == nil {
		return paletteFeed(ctx, a, m, rows)
	}
	return denseFeed(a, m, rows), nil
}

func denseFeed(a *app.Env, m *Loaded, rows int) *feed {
	r := rand.New(rand.NewPCG(a.Config.Seed, 1))
	f := &feed{}
	for _, in := range m.Inputs() {
		x := make([]float32, rows*in.Shape.Size())
		for i := range x {
			x[i] = r.Float32()
		}
		f.dense = append(f.dense, x)
	}
	f.randomLabels(m, rows, r)
	return f
}

func (f *feed) randomLabels(m *Loaded, rows int, r *rand.Rand) {
	for range rows {
		f.labels = append(f.labels, int32(r.IntN(m.Outputs()[0].Shape.Size())))
	}
}

// paletteFeed voxelizes drawn digits, upright and rotated, at the model's size: volumes as full as real ones.
func paletteFeed(ctx context.Context, a *app.Env, m *Loaded, rows int) (*feed, error) {
	vo, err := Fit(m.Model, voxelize.Options{Method: voxelize.Regular, Colormap: a.Config.Voxelize.Colormap})
	if err != nil {
		return nil, err
	}
	v, err := voxelize.New(vo)
	if err != nil {
		return nil, err
	}
	f := &feed{palette: classify.Plan(m.Model, v.Palette())}
	cells := vo.Dims[0] * vo.Dims[1] * vo.Dims[2]
	o := mnist3d.Options{Count: min((rows+1)/2, 64), Augment: true, Seed: a.Config.Seed, Workers: a.Threads()}
	if err := mnist3d.Generate(ctx, o, func(r mnist3d.Row) error {
		vol, err := v.Volume(ingest.Sample{ID: record.ID{Stream: "feed", Seq: uint64(r.Number)}, Data: r.Cloud.Points})
		f.index = append(f.index, vol.Index...)
		return err
	}); err != nil {
		return nil, err
	}
	for have := len(f.index); len(f.index) < rows*cells; { // more rows than drawings: the same again
		f.index = append(f.index, f.index[len(f.index)-have:len(f.index)-have+cells]...)
	}
	f.index = f.index[:rows*cells]
	f.randomLabels(m, rows, rand.New(rand.NewPCG(a.Config.Seed, 1)))
	return f, nil
}

// BenchResult is the result of model bench.
type BenchResult struct {
	Batch     int           `json:"batch"`
	Mode      string        `json:"mode"`
	PerSecond float64       `json:"samples_per_second"`
	LatencyMS app.Quantiles `json:"latency_ms"`
	Tier      string        `json:"tier"`
	Threads   int           `json:"threads"`
	Input     string        `json:"input"`
	Steps     int           `json:"steps"`
}

// PassesText lists the optimisation passes, a line each.
func PassesText() string {
	var out strings.Builder
	for _, pass := range nn.Passes() {
		fmt.Fprintf(&out, "    %-16s %s\n", pass[0], pass[1])
	}
	return out.String()
}

// BenchOptions says what model bench measures.
type BenchOptions struct {
	Batch   int
	Mode    string // infer or train
	Input   string // palette or dense
	Lasting time.Duration
	// Without names the optimisation passes that are switched off, "all" all of them.
	Without []string
}

// check returns an error that names what is wrong with the options.
func (o BenchOptions) check() error {
	switch {
	case o.Batch < 1:
		return app.Usage(fmt.Errorf("--batch: found %d, want 1 or more", o.Batch))
	case o.Mode != "infer" && o.Mode != "train":
		return app.Usage(fmt.Errorf("--mode: found %q, want infer or train", o.Mode))
	case o.Input != "palette" && o.Input != "dense":
		return app.Usage(fmt.Errorf("--input: found %q, want palette or dense", o.Input))
	}
	if err := nn.CheckPasses(o.Without); err != nil {
		return app.Usage(fmt.Errorf("--without: %w", err))
	}
	return nil
}

// ModelBench measures how fast a model infers, or trains, on batches of one size, for some time.
func ModelBench(ctx context.Context, a *app.Env, path string, o BenchOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	batch, mode, input := o.Batch, o.Mode, o.Input
	m, err := Load(ctx, path)
	if err != nil {
		return err
	}
	var f *feed
	if input == "dense" {
		f = denseFeed(a, m, batch)
	} else if f, err = paletteFeed(ctx, a, m, batch); err != nil {
		return err
	}
	debug.FreeOSMemory() // the drawings: what is measured is the network, its memory too
	plan, err := m.Compile(batch, nn.Options{Training: mode == "train", Threads: a.Threads(), Palette: f.palette, Without: o.Without, Seed: a.Config.Seed})
	if err != nil {
		return err
	}
	defer plan.Close()
	// The input is where the plan reads it.
	f.load(plan)
	step := func(n uint64) error { return plan.Forward(batch, false, n) }
	if mode == "train" {
		adam := train.NewAdam(m.Model, a.Config.Train.LearningRate)
		step = func(n uint64) error {
			if err := plan.Forward(batch, true, n); err != nil {
				return err
			}
			gradient(plan, f.labels, len(m.Outputs()[0].Shape) == 1, a.Threads())
			plan.Backward()
			adam.Step(plan)
			return nil
		}
	}
	var times []float64
	begin := time.Now()
	for n := uint64(0); ; n++ {
		start := time.Now()
		if err := step(n); err != nil {
			return err
		}
		const warmUp = 3
		if n < warmUp {
			begin = time.Now()
			continue
		}
		times = append(times, time.Since(start).Seconds()*1e3)
		if ctx.Err() != nil || time.Since(begin) >= o.Lasting {
			break
		}
	}
	total := time.Since(begin).Seconds()
	slices.Sort(times)
	at := func(q float64) float64 { return times[min(len(times)-1, int(q*float64(len(times))))] }
	r := BenchResult{
		Batch: batch, Mode: mode, PerSecond: float64(batch*len(times)) / total, LatencyMS: app.Quantiles{P50: at(0.5), P99: at(0.99)}, Tier: nn.Tier(), Threads: a.Threads(),
		Input: input, Steps: len(times),
	}
	return a.Print(r, func(w io.Writer) {
		fmt.Fprintf(w, "%s of batches of %d, input %s: %.0f samples/s, latency p50 %.3f ms, p99 %.3f ms, %d threads, kernels %s\n",
			r.Mode, r.Batch, r.Input, r.PerSecond, r.LatencyMS.P50, r.LatencyMS.P99, r.Threads, r.Tier)
	})
}

// gradient fills in the derivative of categorical cross-entropy, -1/(p n) at each row's label; where the output is no vector of classes, that of the mean
// square of all its elements, by some threads as there may be many.
func gradient(p *nn.Plan, labels []int32, classes bool, threads int) {
	out, grad := p.Output(0), p.OutputGrad(0)
	if !classes {
		scale := 2 / float32(len(out))
		var all sync.WaitGroup
		for i := range threads {
			lo, hi := len(out)*i/threads, len(out)*(i+1)/threads
			all.Go(func() {
				to := grad[lo:hi]
				for j, v := range out[lo:hi] {
					to[j] = scale * v
				}
			})
		}
		all.Wait()
		return
	}
	row := len(out) / len(labels)
	clear(grad)
	for i, l := range labels {
		at := i*row + int(l)
		grad[at] = -1 / (max(out[at], 1e-7) * float32(len(labels)))
	}
}

// Detail is what inspect says of a model.
type Detail struct {
	Layers     int      `json:"layers"`
	Parameters int      `json:"parameters"`
	Trainable  int      `json:"trainable"`
	Input      nn.Shape `json:"input"`
	Output     nn.Shape `json:"output"`
	Digest     string   `json:"digest"`
}

// Detail describes the model.
func (m *Loaded) Detail() *Detail {
	total, trainable := m.Count()
	return &Detail{
		Layers: len(m.Layers()), Parameters: total, Trainable: trainable, Input: m.Inputs()[0].Shape, Output: m.Outputs()[0].Shape, Digest: m.Info.Digest,
	}
}

// Kind is "model".
func (*Detail) Kind() string { return "model" }

// Text is one fact a line.
func (d *Detail) Text() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "layers  %d\nparams  %d, %d trainable\ninput   %v\noutput  %v\ndigest  %s", d.Layers, d.Parameters, d.Trainable, d.Input, d.Output, d.Digest)
	return b.String()
}
