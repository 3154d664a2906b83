package colormap

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
)

// Norm is how values are mapped to the range of a palette. Empty means Linear.
type Norm string

// The norms are matplotlib's Normalize and LogNorm.
const (
	Linear Norm = "linear"
	Log    Norm = "log"
)

// Choices lists the names of the norms.
func (Norm) Choices() []string { return []string{string(Linear), string(Log)} }

// ChoiceDoc returns the description of a norm.
func (Norm) ChoiceDoc(name string) string {
	switch Norm(name) {
	case Linear:
		return "Equal differences are equal steps in the colour map."
	case Log:
		return "Equal ratios are equal steps in the colour map. Values of 0 or less have no colour."
	}
	return ""
}

// Color is red, green, blue and alpha in [0, 1], or nothing. The text form is #rrggbb, #rrggbbaa or empty.
type Color struct {
	RGBA [4]float32
	Set  bool
}

// String returns the text form, in 8 bits per channel.
func (c Color) String() string {
	if !c.Set {
		return ""
	}
	var b []byte
	for _, x := range c.RGBA {
		b = append(b, uint8(x*255+0.5))
	}
	if b[3] == 255 {
		b = b[:3]
	}
	return "#" + hex.EncodeToString(b)
}

// MarshalText returns String.
func (c Color) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText parses the text form.
func (c *Color) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*c = Color{}
		return nil
	}
	b, err := hex.DecodeString(string(text[1:]))
	if text[0] != '#' || err != nil || len(b) != 3 && len(b) != 4 {
		return errColor
	}
	out := Color{RGBA: [4]float32{3: 1}, Set: true}
	for i, x := range b {
		out.RGBA[i] = float32(float64(x) / 255)
	}
	*c = out
	return nil
}

var errColor = errors.New("want a colour as #rrggbb or #rrggbbaa, such as #ff8800")

// Scale maps values to colours, bit for bit as a matplotlib ScalarMappable with a norm and a colour map. Logarithms of
// float32 values are rounded correctly, whereas the last bit of numpy's depends on the processor.
type Scale struct {
	Palette *Palette
	Norm    Norm
	// Low and High are mapped to the ends of the palette. If both are 0, they are the least and greatest value, of
	// those above 0 for Log.
	Low, High float64
	// Under, Over and Bad are the colours of values below Low, above High, and of NaN and values that the norm cannot
	// map. Without them, these are the first entry, the last entry and transparent black.
	Under, Over, Bad Color
}

// Check reports a range that the norm cannot have.
func (s *Scale) Check() error {
	switch {
	case !(s.Low <= s.High) || math.IsInf(s.High-s.Low, 0):
		return fmt.Errorf("colour scale: found %g to %g, want finite numbers in ascending order", s.Low, s.High)
	case s.Norm == Log && s.Low <= 0 && s.High != 0:
		return fmt.Errorf("colour scale: found %g to %g, want numbers above 0 for norm log", s.Low, s.High)
	}
	return nil
}

// ranged returns the scale with a range. Values that are not finite have no part in it.
func ranged[T float32 | float64](s Scale, values []T) Scale {
	if s.Low != 0 || s.High != 0 {
		return s
	}
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if x := float64(v); x-x == 0 && (s.Norm != Log || x > 0) {
			low, high = min(low, x), max(high, x)
		}
	}
	if low <= high {
		s.Low, s.High = low, high
	}
	return s
}

// normalized returns a function that maps values to 0..1, or to NaN if the norm cannot. Steps are rounded to the type
// of the values, as numpy does it for arrays of that type.
func normalized[T float32 | float64](s *Scale) func(v T) T {
	low, width := s.Low, s.High-s.Low
	switch {
	case s.Low == s.High:
		return func(T) T { return 0 } // even of NaN
	case s.Norm != Log:
		return func(v T) T { return T(float64(T(float64(v)-low)) / width) }
	}
	low, width = log10(s.Low), log10(s.High)-log10(s.Low)
	return func(v T) T {
		if !(v > 0) || math.IsInf(float64(v), 0) {
			return T(math.NaN())
		}
		return T(float64(T(float64(T(log10(float64(v))))-low)) / width)
	}
}

// log10 returns the decimal logarithm, exactly for powers of ten, which math.Log10 rounds.
func log10(x float64) float64 {
	y := math.Log10(x)
	if whole := math.Round(y); math.Abs(whole) <= 300 && math.Pow10(int(whole)) == x {
		return whole
	}
	return y
}

// IndexScaled writes the palette entries of values into dst. Values below and above the range get the first and the
// last entry, and values that the norm cannot map the first.
func IndexScaled[T float32 | float64](dst []uint8, values []T, s Scale) {
	if s.Norm != Log && s.Low == 0 && s.High == 0 {
		Index(dst, values)
		return
	}
	s = ranged(s, values)
	norm := normalized[T](&s)
	for i, v := range values {
		dst[i] = Entry(norm(v))
	}
}

// Colors writes red, green, blue and alpha of values into dst, which has four times their length.
func Colors[T float32 | float64](dst []float32, values []T, s Scale) {
	s = ranged(s, values)
	norm := normalized[T](&s)
	under, over, bad := s.Under.RGBA, s.Over.RGBA, s.Bad.RGBA
	if !s.Under.Set {
		under = s.Palette.entry(0)
	}
	if !s.Over.Set {
		over = s.Palette.entry(Size - 1)
	}
	for i, v := range values {
		var c [4]float32
		switch x := norm(v); {
		case math.IsNaN(float64(x)):
			c = bad
		case x < 0:
			c = under
		case x > 1:
			c = over
		default:
			c = s.Palette.entry(Entry(x))
		}
		copy(dst[4*i:], c[:])
	}
}
