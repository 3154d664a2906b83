package train

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/nn"
)

// rules and schedules construct each class with Keras's defaults.
var (
	rules = map[string]func() Rule{
		"Adam":    func() Rule { return defaultAdam() },
		"AdamW":   func() Rule { return &AdamW{*defaultAdam()} },
		"RMSprop": func() Rule { return defaultRMSprop() },
		"SGD":     func() Rule { return &SGD{} },
	}
	schedules = map[string]func() Schedule{
		"CosineDecay":            func() Schedule { return &CosineDecay{} },
		"ExponentialDecay":       func() Schedule { return &ExponentialDecay{} },
		"PiecewiseConstantDecay": func() Schedule { return &PiecewiseConstantDecay{} },
	}
)

// common holds the attributes of every Keras optimizer under their Keras names; nil stands for None.
type common struct {
	Name             string          `json:"name"`
	LearningRate     json.RawMessage `json:"learning_rate"`
	WeightDecay      *float64        `json:"weight_decay"`
	ClipNorm         *float64        `json:"clipnorm"`
	GlobalClipNorm   *float64        `json:"global_clipnorm"`
	ClipValue        *float64        `json:"clipvalue"`
	UseEMA           bool            `json:"use_ema"`
	EMAMomentum      float64         `json:"ema_momentum"`
	EMAOverwrite     *int64          `json:"ema_overwrite_frequency"`
	LossScale        *float64        `json:"loss_scale_factor"`
	AccumulationStep *int64          `json:"gradient_accumulation_steps"`
}

// serialized is an object as Keras writes it.
type serialized struct {
	Module     string          `json:"module"`
	Class      string          `json:"class_name"`
	Config     json.RawMessage `json:"config"`
	Registered *string         `json:"registered_name"`
}

// optional returns nil for 0.
func optional[T int64 | float64](v T) *T {
	if v == 0 {
		return nil
	}
	return &v
}

func value[T int64 | float64](p *T) T {
	if p == nil {
		return 0
	}
	return *p
}

// Config returns the optimizer's Keras attributes: the arguments of the class.
func (o *Optimizer) Config() map[string]any {
	rate, err := json.Marshal(o.Rate)
	if o.Schedule != nil {
		var config []byte
		if config, err = json.Marshal(o.Schedule); err == nil {
			rate, err = json.Marshal(serialized{Module: "keras.optimizers.schedules", Class: o.Schedule.Class(), Config: config})
		}
	}
	if err != nil {
		panic(err) // cannot happen: numbers and strings that were checked
	}
	momentum := o.EMA.Momentum
	if momentum == 0 {
		momentum = .99 // the Keras default, which has no effect
	}
	c := map[string]any{}
	for _, part := range []any{o.Rule, common{
		Name: strings.ToLower(o.Rule.Class()), LearningRate: rate, WeightDecay: optional(o.WeightDecay),
		ClipNorm:       optional(o.Clip.Norm),
		GlobalClipNorm: optional(o.Clip.GlobalNorm), ClipValue: optional(o.Clip.Value), UseEMA: o.EMA.Momentum != 0,
		EMAMomentum:  momentum,
		EMAOverwrite: optional(o.EMA.OverwriteEvery),
	}} {
		text, err := json.Marshal(part)
		if err == nil {
			err = json.Unmarshal(text, &c)
		}
		if err != nil {
			panic(err) // as above
		}
	}
	return c
}

// FromConfig creates an optimizer of the model's trainable parameters from a Keras class and its attributes. Its
// state is zero. Errors name the class and the attribute.
func FromConfig(m *nn.Model, class string, config map[string]any) (*Optimizer, error) {
	rule, ok := rules[class]
	if !ok {
		return nil, fmt.Errorf("optimizer %s: unknown, want one of %v", class, slices.Sorted(maps.Keys(rules)))
	}
	o, err := fromConfig(m, rule(), config)
	if err != nil {
		return nil, fmt.Errorf("optimizer %s: %w", class, err)
	}
	return o, nil
}

func fromConfig(m *nn.Model, rule Rule, config map[string]any) (*Optimizer, error) {
	c := common{EMAMomentum: .99}
	own := maps.Clone(config)
	shared := map[string]any{}
	for _, name := range []string{
		"name", "learning_rate", "weight_decay", "clipnorm", "global_clipnorm", "clipvalue", "use_ema", "ema_momentum",
		"ema_overwrite_frequency", "loss_scale_factor", "gradient_accumulation_steps",
	} {
		if v, ok := own[name]; ok {
			shared[name] = v
			delete(own, name)
		}
	}
	delete(own, "is_legacy_optimizer") // Keras 2; does not affect the arithmetic
	delete(own, "jit_compile")
	if err := strict(shared, &c); err != nil {
		return nil, err
	}
	if err := strict(own, rule); err != nil {
		return nil, err
	}
	if c.LossScale != nil || c.AccumulationStep != nil {
		return nil, fmt.Errorf("loss_scale_factor and gradient_accumulation_steps are not supported")
	}
	o := New(m, rule, 0)
	if err := o.setRate(c.LearningRate); err != nil {
		return nil, fmt.Errorf("learning_rate: %w", err)
	}
	o.WeightDecay = value(c.WeightDecay)
	o.Clip = Clip{Norm: value(c.ClipNorm), GlobalNorm: value(c.GlobalClipNorm), Value: value(c.ClipValue)}
	if c.UseEMA {
		o.EMA = EMA{Momentum: c.EMAMomentum, OverwriteEvery: value(c.EMAOverwrite)}
	}
	return o, o.Check()
}

// setRate accepts a number or a schedule.
func (o *Optimizer) setRate(text json.RawMessage) error {
	if json.Unmarshal(text, &o.Rate) == nil {
		return nil
	}
	var s serialized
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	schedule, ok := schedules[s.Class]
	if !ok {
		return fmt.Errorf("schedule %q: unknown, want one of %v", s.Class, slices.Sorted(maps.Keys(schedules)))
	}
	var config map[string]any
	if err := json.Unmarshal(s.Config, &config); err != nil {
		return err
	}
	delete(config, "name")
	o.Schedule = schedule()
	if err := strict(config, o.Schedule); err != nil {
		return fmt.Errorf("schedule %s: %w", s.Class, err)
	}
	return nil
}

// strict decodes attributes into a struct; an attribute that the struct does not have is an error.
func strict(config map[string]any, into any) error {
	text, err := json.Marshal(config)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// Check validates the attributes.
func (o *Optimizer) Check() error {
	bounds := 0
	for _, v := range []float64{o.Clip.Norm, o.Clip.GlobalNorm, o.Clip.Value} {
		if v < 0 {
			return fmt.Errorf("found a gradient clipping limit of %g, want none or one above 0", v)
		}
		if v > 0 {
			bounds++
		}
	}
	switch {
	case bounds > 1:
		return fmt.Errorf("found %d gradient clipping limits, want at most one of clipnorm, global_clipnorm and "+
			"clipvalue", bounds)
	case o.EMA.Momentum < 0 || o.EMA.Momentum > 1 || o.EMA.OverwriteEvery < 0:
		return fmt.Errorf("found ema_momentum %g and ema_overwrite_frequency %d, want 0 to 1 and at least 0",
			o.EMA.Momentum, o.EMA.OverwriteEvery)
	case o.WeightDecay < 0:
		return fmt.Errorf("found a weight decay of %g, want at least 0", o.WeightDecay)
	case o.Schedule != nil:
		if err := o.Schedule.Check(); err != nil {
			return fmt.Errorf("schedule %s: %w", o.Schedule.Class(), err)
		}
	}
	return nil
}
