package train

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// goldens is testdata/keras.json, which make_keras_goldens.py made.
type goldens struct {
	Losses []struct {
		Name       string    `json:"name"`
		FromLogits bool      `json:"from_logits"`
		Smoothing  float64   `json:"smoothing"`
		Y          []float32 `json:"y"`
		Labels     []int32   `json:"labels"`
		Loss       []float32 `json:"loss"`
		Grad       []float32 `json:"grad"`
	} `json:"losses"`
	Optimizers struct {
		Start     [][]float32   `json:"start"`
		Gradients [][][]float32 `json:"gradients"`
		Cases     []struct {
			Class  string         `json:"class_name"`
			Config map[string]any `json:"config"`
			Steps  [][]float32    `json:"steps"`
			State  [][]float32    `json:"state"`
			Names  []string       `json:"names"`
			Final  []float32      `json:"final"`
		} `json:"cases"`
	} `json:"optimizers"`
	Schedules []struct {
		Class  string         `json:"class_name"`
		Config map[string]any `json:"config"`
		Rates  []float32      `json:"rates"`
	} `json:"schedules"`
	Callbacks []struct {
		Plateau   map[string]float64 `json:"plateau"`
		Stop      map[string]float64 `json:"stop"`
		Figures   []float64          `json:"figures"`
		Rates     []float32          `json:"rates"`
		Stopped   int                `json:"stopped"`
		BestEpoch int                `json:"best_epoch"`
	} `json:"callbacks"`
	Fit struct {
		X            []float32   `json:"x"`
		Labels       []int32     `json:"labels"`
		Kernels      [][]float32 `json:"kernels"`
		SampleWeight []float32   `json:"sample_weight"`
		ClassWeight  []float64   `json:"class_weight"`
		Runs         []struct {
			Loss    string               `json:"loss"`
			Weights string               `json:"weights"`
			History map[string][]float64 `json:"history"`
			After   []float32            `json:"after"`
		} `json:"runs"`
		Metrics struct {
			Top2 float64   `json:"top2"`
			F1   []float32 `json:"f1"`
			AUC  []float32 `json:"auc"`
			Loss float64   `json:"loss"`
		} `json:"metrics"`
	} `json:"fit"`
}

func readGoldens(t *testing.T) *goldens {
	t.Helper()
	data := must(os.ReadFile("testdata/keras.json"))
	var g goldens
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	return &g
}

// near wants |got-want| <= tolerance (1 + |want|) everywhere.
func near(t *testing.T, what string, got, want []float32, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: got %d numbers, want %d", what, len(got), len(want))
	}
	for i := range got {
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= tolerance*(1+math.Abs(float64(want[i])))) {
			t.Errorf("%s: number %d: got %v, want %v", what, i, got[i], want[i])
			return
		}
	}
}

func single(v []float64) []float32 {
	out := make([]float32, len(v))
	for i := range v {
		out[i] = float32(v[i])
	}
	return out
}

func TestLossesAreThoseOfKeras(t *testing.T) {
	for _, c := range readGoldens(t).Losses {
		l := must(NewLoss(c.Name, c.FromLogits, c.Smoothing))
		what := fmt.Sprintf("%s, logits %v, smoothing %g", c.Name, c.FromLogits, c.Smoothing)
		truth := must(ToCategorical(c.Labels, 5))
		grad := make([]float32, len(c.Y))
		for i := range c.Labels {
			at, to := 5*i, 5*i+5
			near(t, what, []float32{float32(l.Row(c.Y[at:to], truth[at:to], grad[at:to]))}, c.Loss[i:i+1], 2e-6)
		}
		near(t, "gradient of "+what, grad, c.Grad, 1e-5)
	}
}

func TestLossNames(t *testing.T) {
	for _, name := range Losses() {
		if l := must(NewLoss(name, false, 0)); l.Name() != strings.TrimPrefix(name, "sparse_") {
			t.Errorf("%s: got %s", name, l.Name())
		}
	}
	for _, c := range []struct {
		name      string
		logits    bool
		smoothing float64
	}{
		{"hinge", false, 0},
		{"mean_squared_error", true, 0},
		{"mean_absolute_error", false, .1},
		{"binary_crossentropy", false, 2},
	} {
		if _, err := NewLoss(c.name, c.logits, c.smoothing); err == nil {
			t.Errorf("%+v: got no error", c)
		}
	}
}

// two is a model of a kernel [3,2] and a bias [2].
func two() *nn.Model { return must(nn.Sequential("", nn.Shape{3}, layers.NewDense(2, ""))) }

func TestOptimizersAreThoseOfKeras(t *testing.T) {
	g := readGoldens(t).Optimizers
	for _, c := range g.Cases {
		what := fmt.Sprintf("%s %v", c.Class, c.Config)
		m := two()
		for i, p := range m.Params() {
			copy(p.Value, g.Start[i])
		}
		o, err := FromConfig(m, c.Class, c.Config)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		plan := must(m.Compile(1, nn.Options{Training: true}))
		for step, want := range c.Steps {
			for i, p := range m.Params() {
				copy(plan.Grad(p), g.Gradients[step][i])
			}
			o.Step(plan)
			near(t, fmt.Sprintf("%s after step %d", what, step+1), weights(m), want, 2e-6)
		}
		state := o.State()
		if len(state) != len(c.State) {
			t.Fatalf("%s: got %d arrays, want %v", what, len(state), c.Names)
		}
		for i, s := range state {
			if name := s.Param.Name[len("dense/"):] + "_" + s.Name; name != c.Names[i] {
				t.Errorf("%s: array %d: got %s, want %s", what, i, name, c.Names[i])
			}
			near(t, what+": "+c.Names[i], s.Value, c.State[i], 2e-6)
		}
		o.Finalize()
		near(t, what+" finally", weights(m), c.Final, 2e-6)
		plan.Close()

		again, err := FromConfig(m, c.Class, o.Config())
		if err != nil {
			t.Fatalf("%s: its own attributes: %v", what, err)
		}
		// The current rate is stored separately if a schedule determines it.
		if again.Rule.Class() != c.Class || again.Clip != o.Clip || again.EMA != o.EMA || again.WeightDecay != o.WeightDecay ||
			o.Schedule == nil && again.Rate != o.Rate || text(again.Rule) != text(o.Rule) ||
			text(again.Schedule) != text(o.Schedule) {
			t.Errorf("%s: got %+v of %v", what, again, o.Config())
		}
	}
}

func TestSchedulesAreThoseOfKeras(t *testing.T) {
	for _, c := range readGoldens(t).Schedules {
		o := must(FromConfig(two(), "SGD", map[string]any{"learning_rate": map[string]any{
			"class_name": c.Class,
			"config":     c.Config,
		}}))
		var got []float32
		for step := range c.Rates {
			got = append(got, float32(o.Schedule.Rate(int64(step))))
		}
		near(t, fmt.Sprint(c.Class, c.Config), got, c.Rates, 1e-7)
	}
}

func TestCallbacksAreThoseOfKeras(t *testing.T) {
	for _, c := range readGoldens(t).Callbacks {
		r := &ReduceOnPlateau{
			Monitor: "val_loss", Factor: c.Plateau["factor"], MinDelta: c.Plateau["min_delta"], MinRate: c.Plateau["min_lr"],
			Patience: int(c.Plateau["patience"]), Cooldown: int(c.Plateau["cooldown"]),
		}
		e := &EarlyStopping{
			Monitor: "val_loss", MinDelta: c.Stop["min_delta"], Patience: int(c.Stop["patience"]),
			StartFrom: int(c.Stop["start_from_epoch"]),
		}
		p, s, rate, stopped := plateau{Best: worst("val_loss")}, stopper{}, .1, 0
		var rates []float32
		for i, v := range c.Figures {
			rate = p.see(r, v, rate)
			rates = append(rates, float32(rate))
			if stopped == 0 {
				if s.see(e, i+1, v); s.Stopped {
					stopped = i + 1
				}
			}
		}
		near(t, fmt.Sprint("rates of ", c.Plateau), rates, c.Rates, 1e-7)
		if stopped != c.Stopped || s.BestEpoch != c.BestEpoch {
			t.Errorf("%v: stopped after epoch %d, best %d, want %d and %d", c.Stop, stopped, s.BestEpoch, c.Stopped, c.BestEpoch)
		}
	}
}

// TestFitIsThatOfKeras compares histories and weights with class and sample weights, other losses, clipping, decay
// and averages.
func TestFitIsThatOfKeras(t *testing.T) {
	g := readGoldens(t).Fit
	build := func() *nn.Model {
		m := must(nn.Sequential("", nn.Shape{6}, layers.NewDense(8, "relu"), layers.NewDense(4, "softmax")))
		copy(m.Params()[0].Value, g.Kernels[0])
		copy(m.Params()[2].Value, g.Kernels[1])
		return m
	}
	for _, run := range g.Runs {
		what := run.Loss + ", weights " + run.Weights
		m := build()
		d := &Data{X: g.X, Labels: g.Labels}
		o := Options{
			Epochs: 3, BatchSize: 16, ValidationSplit: .25, Loss: must(NewLoss(run.Loss, false, 0)),
			Optimizer: NewAdamW(m, .02, .01),
		}
		o.Optimizer.Clip.GlobalNorm, o.Optimizer.EMA.Momentum = .5, .9
		switch run.Weights {
		case "class":
			o.ClassWeight = g.ClassWeight
		case "sample":
			d.Weights = g.SampleWeight
		}
		h := must(Fit(t.Context(), m, d, o))
		for name, got := range map[string][]float64{
			"loss": h.Loss, "accuracy": h.Accuracy, "val_loss": h.ValLoss,
			"val_accuracy": h.ValAccuracy,
		} {
			near(t, what+": "+name, single(got), single(run.History[name]), 1e-5)
		}
		near(t, what+": weights", weights(m), run.After, 1e-5)
	}
	e := must(Evaluate(t.Context(), build(), &Data{X: g.X, Labels: g.Labels}, EvaluateOptions{TopK: 2, AUC: true}))
	if math.Abs(e.TopK-g.Metrics.Top2) > 1e-6 || math.Abs(e.Loss-g.Metrics.Loss) > 1e-5 || e.K != 2 {
		t.Errorf("got %v among the two best, loss %v, want %v and %v", e.TopK, e.Loss, g.Metrics.Top2, g.Metrics.Loss)
	}
	for c, s := range e.PerClass {
		near(t, fmt.Sprintf("F1 of class %d", c), []float32{float32(s.F1)}, g.Metrics.F1[c:c+1], 1e-6)
		// Keras's area is a sum over thresholds: a pair of rows between two of them, of 60 rows, makes a difference
		// of .0009.
		near(t, fmt.Sprintf("AUC of class %d", c), []float32{float32(*s.AUC)}, g.Metrics.AUC[c:c+1], 1e-3)
	}
}

// TestAUC counts pairs.
func TestAUC(t *testing.T) {
	m := must(nn.Sequential("", nn.Shape{1}, layers.NewActivation("linear")))
	d := &Data{X: []float32{.1, .4, .4, .35, .8, .4}, Labels: []int32{0, 0, 1, 1, 1, 0}}
	e := must(Evaluate(t.Context(), m, d, EvaluateOptions{AUC: true, Loss: &BinaryCrossentropy{}}))
	var area float64
	for i, x := range d.X {
		for j, y := range d.X {
			if d.Labels[i] == 1 && d.Labels[j] == 0 {
				switch {
				case x > y:
					area += 1. / 9
				case x == y:
					area += .5 / 9
				}
			}
		}
	}
	for c, s := range e.PerClass {
		if s.AUC == nil || math.Abs(*s.AUC-area) > 1e-12 {
			t.Errorf("class %d: got %v, want %v", c, s.AUC, area)
		}
	}
	if e.Accuracy != 4./6 || e.Confusion[1][1] != 1 {
		t.Errorf("got accuracy %v and %v", e.Accuracy, e.Confusion)
	}
	one := &Data{X: []float32{.1}, Labels: []int32{0}}
	if e := must(Evaluate(t.Context(), m, one, EvaluateOptions{
		AUC:  true,
		Loss: &BinaryCrossentropy{},
	})); e.PerClass[0].AUC != nil || e.AUC != 0 {
		t.Errorf("one class: got %+v", e.PerClass)
	}
}

// TestConfigsAreRefused names what cannot be done.
func TestConfigsAreRefused(t *testing.T) {
	rate := func(name string, v any) map[string]any { return map[string]any{"learning_rate": .1, name: v} }
	for want, c := range map[string]struct {
		class  string
		config map[string]any
	}{
		"optimizer Lion: unknown":        {"Lion", nil},
		`unknown field "beta_3"`:         {"Adam", rate("beta_3", 1)},
		"learning_rate":                  {"Adam", nil},
		"gradient_accumulation_steps":    {"SGD", rate("gradient_accumulation_steps", 2)},
		"2 gradient clipping limits":     {"SGD", map[string]any{"learning_rate": .1, "clipnorm": 1, "clipvalue": 1}},
		"limit of -1":                    {"SGD", rate("clipnorm", -1)},
		"weight decay of -1":             {"SGD", rate("weight_decay", -1)},
		"momentum 2":                     {"SGD", map[string]any{"learning_rate": .1, "use_ema": true, "ema_momentum": 2}},
		`schedule "PolynomialDecay"`:     {"SGD", map[string]any{"learning_rate": map[string]any{"class_name": "PolynomialDecay", "config": map[string]any{}}}},
		"decay_steps 0, want at least 1": {"SGD", map[string]any{"learning_rate": map[string]any{"class_name": "CosineDecay", "config": map[string]any{}}}},
		"one more value than boundaries": {"SGD", map[string]any{"learning_rate": map[string]any{"class_name": "PiecewiseConstantDecay", "config": map[string]any{"values": []int{1}, "boundaries": []int{1}}}}},
	} {
		if _, err := FromConfig(two(), c.class, c.config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
