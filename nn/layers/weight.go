package layers

import (
	"fmt"
	"maps"
	"slices"
	"sort"

	"github.com/voxelstream/voxelstream/nn"
)

// field is an attribute of an object within a layer's config, and the destination of its value: a *float64 or a
// *string. With a nil destination the attribute must be null.
type field struct {
	key   string
	value any
}

// kind is a class of initializers, regularizers or constraints.
type kind struct {
	class, name string
	// short are other names that Keras accepts.
	short []string
}

var initializerKinds = []kind{
	{"Zeros", "zeros", []string{"zero"}},
	{"Ones", "ones", []string{"one"}},
	{"Constant", "constant", nil},
	{"Identity", "identity", []string{"IdentityInitializer"}},
	{"Orthogonal", "orthogonal", []string{"OrthogonalInitializer"}},
	{"RandomNormal", "random_normal", []string{"normal"}},
	{"RandomUniform", "random_uniform", []string{"uniform"}},
	{"TruncatedNormal", "truncated_normal", nil},
	{"VarianceScaling", "variance_scaling", nil},
	{"GlorotUniform", "glorot_uniform", nil},
	{"GlorotNormal", "glorot_normal", nil},
	{"HeUniform", "he_uniform", nil},
	{"HeNormal", "he_normal", nil},
	{"LecunUniform", "lecun_uniform", nil},
	{"LecunNormal", "lecun_normal", nil},
}

var constraintKinds = []kind{
	{"MaxNorm", "max_norm", nil},
	{"MinMaxNorm", "min_max_norm", nil},
	{"NonNeg", "non_neg", nil},
	{"UnitNorm", "unit_norm", nil},
}

var regularizerKinds = []kind{{"L1", "l1", nil}, {"L2", "l2", nil}, {"L1L2", "l1_l2", []string{"l1l2"}}}

// find returns the kind with the given class or name.
func find(kinds []kind, name string) (kind, bool) {
	for _, k := range kinds {
		if k.class == name || k.name == name || slices.Contains(k.short, name) {
			return k, true
		}
	}
	return kind{}, false
}

// Initializer returns the initializer with the given Keras name and Keras's defaults.
func Initializer(name string) nn.Initializer {
	i := nn.Initializer{Name: name}
	switch name {
	case "random_normal", "truncated_normal":
		i.Deviation = .05
	case "random_uniform":
		i.Low, i.High = -.05, .05
	case "orthogonal", "identity":
		i.Value = 1
	case "variance_scaling":
		i.Scale, i.Mode, i.Distribution = 1, "fan_in", "truncated_normal"
	}
	return i
}

// initializerFields lists the attributes of i. The seed is always the model's.
func initializerFields(i *nn.Initializer) []field {
	switch i.Name {
	case "constant":
		return []field{{"value", &i.Value}}
	case "orthogonal":
		return []field{{"gain", &i.Value}, {"seed", nil}}
	case "random_normal", "truncated_normal":
		return []field{{"mean", &i.Mean}, {"stddev", &i.Deviation}, {"seed", nil}}
	case "random_uniform":
		return []field{{"minval", &i.Low}, {"maxval", &i.High}, {"seed", nil}}
	case "variance_scaling":
		return []field{{"scale", &i.Scale}, {"mode", &i.Mode}, {"distribution", &i.Distribution}, {"seed", nil}}
	case "zeros", "ones":
		return nil
	case "identity":
		return []field{{"gain", &i.Value}}
	}
	return []field{{"seed", nil}}
}

func regularizerFields(r *nn.Regularizer, name string) []field {
	switch name {
	case "l1":
		return []field{{"l1", &r.L1}}
	case "l2":
		return []field{{"l2", &r.L2}}
	}
	return []field{{"l1", &r.L1}, {"l2", &r.L2}}
}

func constraintFields(c *nn.Constraint) []field {
	switch c.Name {
	case "max_norm":
		return []field{{"max_value", &c.Max}}
	case "min_max_norm":
		return []field{{"min_value", &c.Min}, {"max_value", &c.Max}, {"rate", &c.Rate}}
	}
	return nil
}

// initial returns a weight with the given Keras initializer.
func initial(name string) nn.Weight { return nn.Weight{Initializer: Initializer(name)} }

// weight reads the attributes NAME_initializer, NAME_regularizer and NAME_constraint.
func (c Config) weight(name, initializer string) nn.Weight {
	return nn.Weight{
		Initializer: c.initializer(name+"_initializer", initializer),
		Regularizer: c.regularizer(name + "_regularizer"),
		Constraint:  c.constraint(name + "_constraint"),
	}
}

// nested returns the kind of the object under key and a Config of its own attributes. ok is false if the object is
// absent or of an unknown kind.
func (c Config) nested(key string, kinds []kind, what string) (k kind, attributes Config, ok bool) {
	name, own := c.object(key, "")
	if name == "" {
		return k, c, false
	}
	if k, ok = find(kinds, name); !ok {
		c.fail(key, "a supported "+what)
		return k, c, false
	}
	return k, Config{
		class: c.class, name: c.name, under: key + ".", attributes: own, used: map[string]bool{},
		err: c.err,
	}, true
}

// fields reads attributes into their destinations. Absent attributes leave them unchanged.
func (c Config) fields(fields []field) {
	for _, f := range fields {
		switch v := f.value.(type) {
		case *float64:
			*v = Get(c, f.key, *v)
		case *string:
			*v = Get(c, f.key, *v)
		case nil:
			c.use(f.key)
		}
	}
}

func (c Config) initializer(key, otherwise string) nn.Initializer {
	k, own, ok := c.nested(key, initializerKinds, "initializer")
	if !ok {
		return Initializer(otherwise)
	}
	i := Initializer(k.name)
	own.fields(initializerFields(&i))
	own.use("dtype")
	own.none("input_axes", "output_axes")
	own.rest()
	switch i.Mode {
	case "", "fan_in", "fan_out", "fan_avg":
	default:
		own.fail("mode", "fan_in, fan_out or fan_avg")
	}
	switch i.Distribution {
	case "", "uniform", "truncated_normal", "untruncated_normal":
	case "normal":
		i.Distribution = "truncated_normal"
	default:
		own.fail("distribution", "uniform, truncated_normal or untruncated_normal")
	}
	return i
}

func (c Config) regularizer(key string) nn.Regularizer {
	k, own, ok := c.nested(key, regularizerKinds, "regularizer: l1, l2 or l1_l2")
	var r nn.Regularizer
	if !ok {
		return r
	}
	switch { // Keras's defaults
	case k.name == "l1":
		r.L1 = .01
	case k.name == "l2":
		r.L2 = .01
	case own.attributes == nil: // by name only
		r.L1, r.L2 = .01, .01
	}
	own.fields(regularizerFields(&r, k.name))
	own.rest()
	return r
}

func (c Config) constraint(key string) nn.Constraint {
	k, own, ok := c.nested(key, constraintKinds, "constraint")
	if !ok {
		return nn.Constraint{}
	}
	out := nn.Constraint{Name: k.name}
	switch k.name {
	case "max_norm":
		out.Max = 2
	case "min_max_norm":
		out.Max, out.Rate = 1, 1
	}
	own.fields(constraintFields(&out))
	if k.name != "non_neg" {
		out.Axes = own.integers("axis")
	}
	own.rest()
	return out
}

// rest rejects the attributes that nothing has read.
func (c Config) rest() {
	var unknown []string
	for key, v := range c.attributes {
		if !c.used[key] && v != nil { // null is the absence of what we do not know
			unknown = append(unknown, c.under+key)
		}
	}
	if len(unknown) > 0 && *c.err == nil {
		sort.Strings(unknown)
		*c.err = fmt.Errorf("layer %q (%s): attributes %q are not supported", c.name, c.class, unknown)
	}
}

// weights adds the attributes of the named weights to config and returns it.
func weights(config map[string]any, byName map[string]nn.Weight) map[string]any {
	for name, w := range byName {
		config[name+"_initializer"] = writeInitializer(w.Initializer)
		config[name+"_regularizer"] = writeRegularizer(w.Regularizer)
		config[name+"_constraint"] = writeConstraint(w.Constraint)
	}
	return config
}

// write serializes an object as Keras 3 does.
func write(module, class string, fields []field, more map[string]any) map[string]any {
	config := map[string]any{}
	for _, f := range fields {
		switch v := f.value.(type) {
		case *float64:
			config[f.key] = *v
		case *string:
			config[f.key] = *v
		case nil:
			config[f.key] = nil
		}
	}
	maps.Copy(config, more)
	return map[string]any{"module": "keras." + module, "class_name": class, "config": config, "registered_name": nil}
}

func writeInitializer(i nn.Initializer) any {
	if i.Name == "" {
		i.Name = "zeros"
	}
	k, _ := find(initializerKinds, i.Name)
	if i == Initializer("identity") { // Keras 3 accepts the gain but does not write it
		return write("initializers", k.class, nil, nil)
	}
	return write("initializers", k.class, initializerFields(&i), nil)
}

func writeRegularizer(r nn.Regularizer) any {
	name := "l1_l2"
	switch {
	case r == nn.Regularizer{}:
		return nil
	case r.L2 == 0:
		name = "l1"
	case r.L1 == 0:
		name = "l2"
	}
	k, _ := find(regularizerKinds, name)
	return write("regularizers", k.class, regularizerFields(&r, name), nil)
}

func writeConstraint(c nn.Constraint) any {
	if c.Name == "" {
		return nil
	}
	k, _ := find(constraintKinds, c.Name)
	var more map[string]any
	if c.Name != "non_neg" {
		more = map[string]any{"axis": 0}
		if len(c.Axes) > 0 {
			more["axis"] = axisAttribute(c.Axes)
		}
	}
	return write("constraints", k.class, constraintFields(&c), more)
}
