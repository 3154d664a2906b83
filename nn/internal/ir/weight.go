package ir

// Initializer says what numbers a parameter starts with: Keras's name, and the attributes that this one reads. The
// zero value stands for zeros.
type Initializer struct {
	// Name is Keras's: zeros, ones, constant, identity, random_normal, truncated_normal, random_uniform,
	// orthogonal, variance_scaling, and glorot_, he_ and lecun_ with uniform or normal.
	Name string
	// Mean and Deviation are those of random_normal and truncated_normal, which cuts off at two deviations.
	Mean, Deviation float64
	// Low and High are the ends of random_uniform.
	Low, High float64
	// Value is what constant fills with, and the gain of orthogonal and identity.
	Value float64
	// Scale, Mode (fan_in, fan_out or fan_avg) and Distribution (truncated_normal, untruncated_normal or uniform)
	// are those of variance_scaling.
	Scale              float64
	Mode, Distribution string
}

// Regularizer is a penalty on a parameter that the loss includes: L1 times the sum of sizes plus L2 times the sum
// of squares. Zero is none.
type Regularizer struct{ L1, L2 float64 }

// Constraint is what a parameter is brought back to after each step of training. The zero value is none.
type Constraint struct {
	// Name is Keras's: max_norm, min_max_norm, non_neg or unit_norm.
	Name string
	// Min and Max are the limits of the norm, Rate how much of the way to them a step goes: 1 for all of it.
	Min, Max, Rate float64
	// Axes are those that the norm runs over; none is axis 0.
	Axes []int
}

// Weight says how a parameter starts, and what training adds to the loss for it and holds it to.
type Weight struct {
	Initializer Initializer
	Regularizer Regularizer
	Constraint  Constraint
}
