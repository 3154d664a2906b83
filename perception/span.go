package perception

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Span is a closed interval. Its text is LO:HI. An empty end is unbounded, so ":" and "" hold every number.
type Span struct{ Lo, Hi float64 }

// everything is the span that holds every number.
var everything = Span{math.Inf(-1), math.Inf(1)}

// Has reports whether the span holds a number.
func (s Span) Has(v float64) bool { return s.Lo <= v && v <= s.Hi }

func (s Span) String() string {
	if s == everything {
		return ""
	}
	return end(s.Lo) + ":" + end(s.Hi)
}

func end(v float64) string {
	if math.IsInf(v, 0) {
		return ""
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

var errSpan = errors.New("want LO:HI such as 0.5:80, with LO at most HI; an omitted end is unbounded")

// parseEnd returns the number that a text gives, unbounded if it is empty, or NaN if it is no finite number.
func parseEnd(text string, unbounded float64) float64 {
	if text == "" {
		return unbounded
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(v, 0) {
		return math.NaN()
	}
	return v
}

// MarshalText implements [encoding.TextMarshaler].
func (s Span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *Span) UnmarshalText(text []byte) error {
	out := everything
	if lo, hi, ok := strings.Cut(string(text), ":"); ok {
		if out.Lo = parseEnd(lo, out.Lo); math.IsNaN(out.Lo) {
			return errSpan
		}
		if out.Hi = parseEnd(hi, out.Hi); math.IsNaN(out.Hi) || out.Lo > out.Hi {
			return errSpan
		}
	} else if len(text) > 0 {
		return errSpan
	}
	*s = out
	return nil
}

// Hint describes how a span is written.
func (Span) Hint() string { return "It is written as LO:HI; an omitted end is unbounded." }
