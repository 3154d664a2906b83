package train

import (
	"fmt"
	"slices"
)

// choice is an entry of a list from which users choose by name.
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

// find returns the entry with the given name. The error names the list and its entries.
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

// optimizers constructs each rule by name. Rules without momentum ignore the arguments.
var optimizers = choices[func(momentum float64, nesterov bool) Rule]{
	{"adam", "Adam (Kingma and Ba 2015).", func(float64, bool) Rule { return defaultAdam() }},
	{
		"adamw", "Adam with decoupled weight decay (Loshchilov and Hutter 2019); set weight_decay.",
		func(float64, bool) Rule { return &AdamW{*defaultAdam()} },
	},
	{"rmsprop", "RMSprop (Tieleman and Hinton 2012).", func(momentum float64, _ bool) Rule {
		r := defaultRMSprop()
		r.Momentum = momentum
		return r
	}},
	{"sgd", "Stochastic gradient descent.", func(momentum float64,
		nesterov bool,
	) Rule {
		return &SGD{Momentum: momentum, Nesterov: nesterov}
	}},
}

// Optimizers returns the names of all optimizers.
func Optimizers() []string { return optimizers.names() }

// OptimizerDoc describes the optimizer with the given name.
func OptimizerDoc(name string) string { return optimizers.doc(name) }

// NewRule returns the rule of the optimizer with the given name, with Keras's constants. Rules without momentum
// ignore both arguments.
func NewRule(name string, momentum float64, nesterov bool) (Rule, error) {
	c, err := optimizers.find("optimizer", name)
	if err != nil {
		return nil, err
	}
	return c.make(momentum, nesterov), nil
}

// ScheduleOptions configures a learning rate schedule.
type ScheduleOptions struct {
	// Rate is the initial learning rate, or the rate after the warm-up.
	Rate float64
	// WarmUp is the number of steps in which the rate of the cosine schedule rises from 0.
	WarmUp int
	// DecaySteps is the length of a decay in steps. 0 means all Steps after the warm-up for cosine, and one Epoch
	// for exponential.
	DecaySteps int
	// Factor multiplies the rate; 0 means the schedule's default.
	Factor float64
	// Boundaries are the steps at which the piecewise schedule changes the rate. Rates has one rate more than
	// Boundaries.
	Boundaries []int64
	Rates      []float64
	// Epoch is the number of steps per epoch, Steps the number of steps in total.
	Epoch, Steps int
}

// The names of schedules with further requirements: SchedulePiecewise needs boundaries, SchedulePlateau is a
// [ReduceOnPlateau].
const (
	SchedulePiecewise = "piecewise"
	SchedulePlateau   = "plateau"
)

var scheduleNames = choices[func(o ScheduleOptions) Schedule]{
	{"constant", "Constant learning rate.", nil},
	{
		"cosine", "The rate falls along half a cosine, after a warm-up if one is set (Loshchilov and Hutter 2017).",
		func(o ScheduleOptions) Schedule {
			steps := o.DecaySteps
			if steps == 0 {
				steps = max(1, o.Steps-o.WarmUp)
			}
			s := &CosineDecay{Initial: o.Rate, Alpha: o.Factor, Steps: int64(steps)}
			if o.WarmUp > 0 {
				s.Initial, s.WarmupTarget, s.WarmupSteps = 0, &o.Rate, int64(o.WarmUp)
			}
			return s
		},
	},
	{"exponential", "The rate is multiplied by a factor every decay_steps steps.", func(o ScheduleOptions) Schedule {
		steps, factor := o.DecaySteps, o.Factor
		if steps == 0 {
			steps = o.Epoch
		}
		if factor == 0 {
			factor = .9
		}
		return &ExponentialDecay{Initial: o.Rate, Steps: int64(steps), Factor: factor}
	}},
	{
		SchedulePiecewise, "The rate is piecewise constant and changes at the steps listed in pieces.",
		func(o ScheduleOptions) Schedule {
			return &PiecewiseConstantDecay{Boundaries: o.Boundaries, Values: o.Rates}
		},
	},
	{SchedulePlateau, "The rate is multiplied by a factor when the monitored metric stops improving.", nil},
}

// Schedules returns the names of all schedules.
func Schedules() []string { return scheduleNames.names() }

// ScheduleDoc describes the schedule with the given name.
func ScheduleDoc(name string) string { return scheduleNames.doc(name) }

// NewSchedule returns the schedule with the given name, or nil for a constant rate and for reduction on plateaus.
func NewSchedule(name string, o ScheduleOptions) (Schedule, error) {
	c, err := scheduleNames.find("schedule", name)
	if err != nil || c.make == nil {
		return nil, err
	}
	return c.make(o), nil
}

// monitors are the metrics of an epoch that can be monitored.
var monitors = choices[struct{}]{
	{name: "accuracy", doc: "Accuracy on the training rows."},
	{name: "loss", doc: "Loss on the training rows."},
	{name: "val_accuracy", doc: "Accuracy on the validation rows."},
	{
		name: "val_auc", doc: "Mean area under the curve of the classes on the validation rows, which suits classes of " +
			"very different sizes.",
	},
	{name: "val_loss", doc: "Loss on the validation rows."},
}

// Monitors returns the names of the metrics that can be monitored.
func Monitors() []string { return monitors.names() }

// MonitorDoc describes the metric with the given name.
func MonitorDoc(name string) string { return monitors.doc(name) }
