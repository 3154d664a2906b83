package voxelize

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Encoding says which numbers a network gets for the cells of a volume. It is part of a model's metadata. The text
// forms are
//
//	palette            palette indices; a grid is mapped by the window in its file, or else by its own range
//	palette:full       palette indices; a grid is always mapped by its own range
//	palette:LO:HI      palette indices of the window from LO to HI
//	raw                the values as measured, as float32
//	window:LO:HI       LO becomes 0 and HI becomes 1; values outside are clamped
//	window:1%:99%      the same, from the percentiles of each channel of each volume; palette:1%:99% likewise
//	window:lung        the same, by one of the named windows of [Windows]; palette:lung likewise
//	standard           (x - mean) / deviation, by the mean and standard deviation of each channel of each volume
//	standard:MEAN:DEV  the same with fixed numbers: one for all channels, or one per channel, separated by commas
//
// The standard deviation is that of the population. A channel of equal values becomes 0. The empty Encoding leaves the
// choice to the model, or to the default, palette.
type Encoding string

// The encodings without numbers.
const (
	PaletteIndices Encoding = "palette"
	FullPalette    Encoding = "palette:full"
	RawValues      Encoding = "raw"
	Standardized   Encoding = "standard"
)

// maxEncoding limits the text of an encoding; it fits into the metadata of a message.
const maxEncoding = 256

var errEncoding = errors.New("want palette, palette:full, palette:LO:HI, raw, window:LO:HI, standard or " +
	"standard:MEAN:DEV, such as window:-1000:400, window:1%:99% or window:lung")

// String returns the text form.
func (e Encoding) String() string { return string(e) }

// MarshalText returns the text form.
func (e Encoding) MarshalText() ([]byte, error) { return []byte(e), nil }

// UnmarshalText parses a text form. Numbers become their shortest form, so that equal encodings are equal strings.
func (e *Encoding) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*e = ""
		return nil
	}
	s, err := scalingOf(Encoding(text))
	if err == nil {
		*e = s.encoding()
	}
	return err
}

// ParseEncoding parses the text form of an encoding.
func ParseEncoding(text string) (e Encoding, err error) {
	if err = e.UnmarshalText([]byte(text)); err != nil {
		return "", fmt.Errorf("found %.64q, %w", text, err)
	}
	return e, nil
}

// IsPalette reports whether volumes hold palette indices. They do by default.
func (e Encoding) IsPalette() bool {
	kind, _, _ := strings.Cut(string(e), ":")
	return kind == "" || kind == string(PaletteIndices)
}

// Windowed returns e with a window in place of its own, if it has any. It is an error if e is a standardization.
func (e Encoding) Windowed(w Window) (Encoding, error) {
	switch {
	case w == Window{}:
		return e, nil
	case strings.HasPrefix(string(e), string(Standardized)):
		return "", fmt.Errorf("found window %v and values %v, want one of them", w, e)
	case w.None && e.IsPalette():
		return scaling{kind: "palette", full: true}.encoding(), nil
	case w.None:
		return RawValues, nil
	}
	s := scaling{kind: "window", low: w.Centre - w.Width/2, high: w.Centre + w.Width/2}
	if w.Percentiles != [2]float64{} {
		s.percent, s.low, s.high = true, w.Percentiles[0], w.Percentiles[1]
	}
	if e.IsPalette() {
		s.kind = "palette"
	}
	return s.encoding(), nil
}

// Apply computes what the network gets from values as measured, in place: a window or a standardization. The values
// have the shape (D, H, W, C) with C channels. Raw values stay as they are.
func (e Encoding) Apply(values []float32, channels int) error {
	s, err := scalingOf(e)
	if err == nil {
		err = s.fits(channels)
	}
	if err != nil {
		return err
	}
	s.apply(values, channels)
	return nil
}

// scaling is a parsed Encoding.
type scaling struct {
	kind      string // palette, raw, window or standard
	full      bool
	low, high float64 // equal if there is no window
	percent   bool    // low and high are percentiles
	// mean and dev have one number for all channels or one per channel; they are empty if each volume has its own.
	mean, dev []float64
}

// scalingOf parses an encoding; the empty one is the default.
func scalingOf(e Encoding) (s scaling, err error) {
	if e == "" {
		e = PaletteIndices
	}
	if len(e) > maxEncoding {
		return s, fmt.Errorf("found %d characters, want at most %d", len(e), maxEncoding)
	}
	parts := strings.Split(string(e), ":")
	s.kind = parts[0]
	switch {
	case len(parts) == 1 && (s.kind == "palette" || s.kind == "raw" || s.kind == "standard"):
		return s, nil
	case e == FullPalette:
		s.full = true
		return s, nil
	case len(parts) == 2 && (s.kind == "palette" || s.kind == "window"):
		w, ok := windowNamed(parts[1])
		if !ok {
			return s, fmt.Errorf("found no window %.32q, %w", parts[1], errWindow)
		}
		s.low, s.high = w.Centre-w.Width/2, w.Centre+w.Width/2
		return s, nil
	case len(parts) != 3:
		return s, errEncoding
	}
	if low, high, ok := percentiles(parts[1], parts[2]); ok && (s.kind == "palette" || s.kind == "window") {
		s.percent, s.low, s.high = true, low, high
		return s, nil
	}
	a, errA := numbers(parts[1])
	b, errB := numbers(parts[2])
	if err := errors.Join(errA, errB); err != nil {
		return s, errEncoding
	}
	switch {
	case (s.kind == "palette" || s.kind == "window") && len(a) == 1 && len(b) == 1:
		s.low, s.high = a[0], b[0]
		if low, high := s.bounds(); !(low < high) {
			return s, fmt.Errorf("a window must go up: found %g to %g, %w", s.low, s.high, errEncoding)
		}
		return s, nil
	case s.kind == "standard" && len(a) == len(b) && len(a) <= MaxChannels:
		if i := slices.IndexFunc(b, func(d float64) bool { return d <= 0 }); i >= 0 {
			return s, fmt.Errorf("a deviation must be above 0: found %g, %w", b[i], errEncoding)
		}
		s.mean, s.dev = a, b
		return s, nil
	}
	return s, errEncoding
}

// numbers parses finite float32 numbers separated by commas.
func numbers(text string) ([]float64, error) {
	var out []float64
	for item := range strings.SplitSeq(text, ",") {
		x, err := strconv.ParseFloat(item, 64)
		if err != nil || x-x != 0 || math.Abs(x) > math.MaxFloat32 {
			return nil, errEncoding
		}
		out = append(out, x)
	}
	return out, nil
}

// encoding returns the text form.
func (s scaling) encoding() Encoding {
	number := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	list := func(xs []float64) string {
		var out []string
		for _, x := range xs {
			out = append(out, number(x))
		}
		return strings.Join(out, ",")
	}
	switch {
	case s.full:
		return Encoding(s.kind + ":full")
	case s.percent:
		return Encoding(s.kind + ":" + number(s.low) + "%:" + number(s.high) + "%")
	case s.low < s.high:
		return Encoding(s.kind + ":" + number(s.low) + ":" + number(s.high))
	case len(s.mean) > 0:
		return Encoding(s.kind + ":" + list(s.mean) + ":" + list(s.dev))
	}
	return Encoding(s.kind)
}

// bounds returns the values that map to 0 and 1.
func (s scaling) bounds() (low, high float32) { return float32(s.low), float32(s.high) }

// changes reports whether apply changes values.
func (s scaling) changes() bool { return s.kind == "window" || s.kind == "standard" }

// fits reports numbers for another number of channels.
func (s scaling) fits(channels int) error {
	if n := len(s.mean); n > 1 && n != channels {
		return fmt.Errorf("values %v: found numbers for %d channels, want %d", s.encoding(), n, channels)
	}
	return nil
}

// apply is Encoding.Apply for numbers that fit.
func (s scaling) apply(values []float32, channels int) {
	s.applyWith(values, channels, s.windows(values, channels))
}

// windows returns the window of each channel. It is nil if the scaling has none.
func (s scaling) windows(values []float32, channels int) [][2]float32 {
	if s.kind != "window" || len(values) == 0 {
		return nil
	}
	out := make([][2]float32, channels)
	for c := range out {
		if s.percent {
			out[c] = percentileWindow(values, c, channels, s.low, s.high)
		} else {
			out[c][0], out[c][1] = s.bounds()
		}
	}
	return out
}

// applyWith is apply with windows that were computed before.
func (s scaling) applyWith(values []float32, channels int, windows [][2]float32) {
	switch s.kind {
	case "window":
		for c, w := range windows {
			scaleChannel(values, c, channels, w)
		}
	case "standard":
		for c := range channels {
			mean, dev := moments(values, c, channels)
			if n := len(s.mean); n > 0 {
				mean, dev = s.mean[min(c, n-1)], s.dev[min(c, n-1)]
			}
			if dev == 0 {
				dev = 1
			}
			for i := c; i < len(values); i += channels {
				values[i] = float32((float64(values[i]) - mean) / dev)
			}
		}
	}
}

// moments returns the mean and the standard deviation of one channel.
func moments(values []float32, c, channels int) (mean, dev float64) {
	n := float64(len(values) / channels)
	for i := c; i < len(values); i += channels {
		mean += float64(values[i])
	}
	mean /= n
	for i := c; i < len(values); i += channels {
		d := float64(values[i]) - mean
		dev += d * d
	}
	return mean, math.Sqrt(dev / n)
}

// scale maps the ends of a window to 0 and 1 in place, and clamps values outside.
func scale(values []float32, w [2]float32) { scaleChannel(values, 0, 1, w) }

// scaleChannel is scale for one channel. A window of one value, as that of a constant volume, maps everything to 0.
func scaleChannel(values []float32, c, channels int, w [2]float32) {
	low, high := w[0], w[1]
	width := high - low
	if !(width > 0) {
		width = 1
	}
	for i := c; i < len(values); i += channels {
		values[i] = (min(max(values[i], low), high) - low) / width
	}
}
