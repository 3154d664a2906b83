package train

import (
	"fmt"
	"slices"
)

// choice is an item of a list from which users choose by name.
type choice[T any] struct {
	name, doc string
	make      T
}

type choices[T any] []choice[T]

func (l choices[T]) names() []string {
	out := make([]string, len(l))
	for i, c := range l {
		out[i] = c.name
	}
	return out
}

// find returns the item of that name; the error names the list and what it holds.
func (l choices[T]) find(list, name string) (choice[T], error) {
	i := slices.IndexFunc(l, func(c choice[T]) bool { return c.name == name })
	if i < 0 {
		return choice[T]{}, fmt.Errorf("%s %q: unknown, want one of %v", list, name, l.names())
	}
	return l[i], nil
}

func (l choices[T]) doc(name string) string {
	c, _ := l.find("", name)
	return c.doc
}

// optimizers make each rule by its name. Momentum and Nesterov are for those that have them.
var optimizers = choices[func(momentum float64, nesterov bool) Rule]{
	{"adam", "Adam (Kingma and Ba 2015).", func(float64, bool) Rule { return defaultAdam() }},
	{"adamw", "Adam with decoupled weight decay (Loshchilov and Hutter 2019); set weight_decay.", func(float64, bool) Rule { return &AdamW{*defaultAdam()} }},
	{"rmsprop", "RMSprop (Tieleman and Hinton 2012).", func(momentum float64, _ bool) Rule {
		r := defaultRMSprop()
		r.Momentum = momentum
		return r
	}},
	{"sgd", "Stochastic gradient descent.", func(momentum float64, nesterov bool) Rule { return &SGD{Momentum: momentum, Nesterov: nesterov} }},
}

// Optimizers names all optimizers.
func Optimizers() []string { return optimizers.names() }

// OptimizerDoc describes the optimizer of that name.
func OptimizerDoc(name string) string { return optimizers.doc(name) }

// NewRule makes the rule of an optimizer by its name, with Keras's constants. Rules without momentum ignore both arguments.
func NewRule(name string, momentum float64, nesterov bool) (Rule, error) {
	c, err := optimizers.find("optimizer", name)
	if err != nil {
		return nil, err
	}
	return c.make(momentum, nesterov), nil
}

// ScheduleOptions say how a schedule changes the learning rate.
type ScheduleOptions struct {
	// Rate is the learning rate at first, or after the warm-up.
	Rate float64
	// WarmUp is in how many steps the rate rises from 0, of the cosine schedule.
	WarmUp int
	// DecaySteps is how many steps a decay takes; 0: all Steps but the warm-up for cosine, one Epoch for exponential.
	DecaySteps int
	// Factor is what the rate is multiplied by; 0: the usual one of the schedule.
	Factor float64
	// Boundaries are the steps of the piecewise schedule, and Rates the rates between them: one more.
	Boundaries []int64
	Rates      []float64
	// Epoch is the number of steps of an epoch, Steps that of the whole training.
	Epoch, Steps int
}

// The names of schedules that take more than ScheduleOptions: Piecewise wants boundaries, Plateau is a
// [ReduceOnPlateau].
const (
	SchedulePiecewise = "piecewise"
	SchedulePlateau   = "plateau"
)

var scheduleNames = choices[func(o ScheduleOptions) Schedule]{
	{"constant", "The rate does not change.", nil},
	{"cosine", "The rate falls along half a cosine, after a warm-up if one is set (Loshchilov and Hutter 2017).", func(o ScheduleOptions) Schedule {
		steps := o.DecaySteps
		if steps == 0 {
			steps = max(1, o.Steps-o.WarmUp)
		}
		s := &CosineDecay{Initial: o.Rate, Alpha: o.Factor, Steps: int64(steps)}
		if o.WarmUp > 0 {
			s.Initial, s.WarmupTarget, s.WarmupSteps = 0, &o.Rate, int64(o.WarmUp)
		}
		return s
	}},
	{"exponential", "The rate is multiplied by a factor in each decay_steps.", func(o ScheduleOptions) Schedule {
		steps, factor := o.DecaySteps, o.Factor
		if steps == 0 {
			steps = o.Epoch
		}
		if factor == 0 {
			factor = .9
		}
		return &ExponentialDecay{Initial: o.Rate, Steps: int64(steps), Factor: factor}
	}},
	{SchedulePiecewise, "The rate changes at the steps in pieces.", func(o ScheduleOptions) Schedule {
		return &PiecewiseConstantDecay{Boundaries: o.Boundaries, Values: o.Rates}
	}},
	{SchedulePlateau, "The rate is multiplied by a factor when the monitored metric stops improving.", nil},
}

// Schedules names all schedules.
func Schedules() []string { return scheduleNames.names() }

// ScheduleDoc describes the schedule of that name.
func ScheduleDoc(name string) string { return scheduleNames.doc(name) }

// NewSchedule makes a schedule by its name; nil where the rate is constant, or falls on plateaus.
func NewSchedule(name string, o ScheduleOptions) (Schedule, error) {
	c, err := scheduleNames.find("schedule", name)
	if err != nil || c.make == nil {
		return nil, err
	}
	return c.make(o), nil
}

// monitors are the figures of an epoch that can be watched.
var monitors = choices[struct{}]{
	{name: "accuracy", doc: "The share of the training rows that are classified correctly."},
	{name: "loss", doc: "The loss on the training rows."},
	{name: "val_accuracy", doc: "The share of the validation rows that are classified correctly."},
	{name: "val_loss", doc: "The loss on the validation rows."},
}

// Monitors names the figures of an epoch that can be watched.
func Monitors() []string { return monitors.names() }

// MonitorDoc describes the figure of that name.
func MonitorDoc(name string) string { return monitors.doc(name) }
