package ir

import "fmt"

// Precision is the kind of numbers that the large layers of a program multiply in inference. The zero value is float32.
type Precision struct {
	// Kind is "", Int8 or BFloat16.
	Kind string `json:"kind,omitempty"`
	// Ranges are, by layer, the least and the greatest input that Int8 tells apart. A layer that is not among them
	// stays in float32.
	Ranges map[string][2]float32 `json:"ranges,omitempty"`
}

// The kinds of Precision.
const (
	// Int8 is integers of 8 bits, whose products are summed exactly.
	Int8 = "int8"
	// BFloat16 is the upper half of a float32; sums are float32.
	BFloat16 = "bfloat16"
)

// Check refuses kinds that there are not, and ranges that are none.
func (p *Precision) Check() error {
	if p.Kind != Int8 && p.Kind != BFloat16 {
		return fmt.Errorf("got precision %q, want %s or %s", p.Kind, Int8, BFloat16)
	}
	for layer, r := range p.Ranges {
		if !(r[0] <= 0 && r[1] >= 0 && r[1]-r[0] < 1e30) {
			return fmt.Errorf("layer %s: got the range %g to %g, want finite numbers on both sides of 0", layer, r[0], r[1])
		}
	}
	return nil
}
