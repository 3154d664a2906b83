package trajectory

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Stamp is a time as a file states it: a decimal number in a unit that is known only when all of them are.
type Stamp struct {
	negative bool
	digits   string // the value is digits * 10^exponent
	exponent int
}

// ParseStamp parses a decimal number, also in scientific notation. It is exact, which a float64 would not be.
func ParseStamp(s string) (Stamp, error) {
	d, ok := parseDecimal(strings.Replace(s, ",", ".", 1))
	if !ok {
		return Stamp{}, fmt.Errorf("found time %.40q, want seconds", s)
	}
	return d, nil
}

func parseDecimal(s string) (d Stamp, ok bool) {
	mantissa := s
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		e, err := strconv.ParseInt(s[i+1:], 10, 16)
		if err != nil {
			return d, false
		}
		mantissa, d.exponent = s[:i], int(e)
	}
	switch {
	case strings.HasPrefix(mantissa, "-"):
		mantissa, d.negative = mantissa[1:], true
	case strings.HasPrefix(mantissa, "+"):
		mantissa = mantissa[1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	d.digits = whole + fraction
	d.exponent -= len(fraction)
	if d.digits == "" || strings.Trim(d.digits, "0123456789") != "" {
		return d, false
	}
	d.digits = strings.TrimLeft(d.digits, "0")
	return d, true
}

// magnitude is the absolute value, rounded.
func (s Stamp) magnitude() float64 {
	v, err := strconv.ParseFloat(s.digits+"e"+strconv.Itoa(s.exponent), 64)
	if s.digits == "" {
		return 0
	}
	if err != nil {
		return math.Inf(1)
	}
	return v
}

// nanoseconds is the time in nanoseconds since 1970, if its unit is 10^-places seconds. It is cut to whole
// nanoseconds; ok is false beyond the year 2262.
func (s Stamp) nanoseconds(places int) (ns int64, ok bool) {
	shift := s.exponent + 9 - places
	digits := s.digits
	if shift < 0 {
		digits = digits[:max(0, len(digits)+shift)]
	} else if digits != "" {
		const most = 19 // digits of an int64
		if len(digits)+shift > most {
			return 0, false
		}
		digits += strings.Repeat("0", shift)
	}
	if digits == "" {
		return 0, true
	}
	ns, err := strconv.ParseInt(digits, 10, 64)
	if s.negative {
		ns = -ns
	}
	return ns, err == nil
}

// ParseTime parses seconds since 1970 to the nanosecond.
func ParseTime(s string) (time.Time, error) {
	d, err := ParseStamp(s)
	if err != nil {
		return time.Time{}, err
	}
	ns, ok := d.nanoseconds(0)
	if !ok {
		return time.Time{}, fmt.Errorf("found time %.40q, want seconds since 1970", s)
	}
	return time.Unix(0, ns).UTC(), nil
}

// The first and last second of a time that must be one since 1970: from 1990 to 2100.
const (
	from = 631_152_000
	to   = 4_102_444_800
)

// Times converts the times of a table. TUM's times are in seconds. Those that would then be beyond the year 5138 are
// taken for milliseconds, microseconds or nanoseconds since 1970, with a note, if that puts the greatest of them
// between 1990 and 2100.
func (t *Table) Times(stamps []Stamp) ([]time.Time, error) {
	greatest := 0.0
	for _, s := range stamps {
		greatest = max(greatest, s.magnitude())
	}
	places := 0
	if greatest >= 1e11 {
		units := map[int]string{3: "milliseconds", 6: "microseconds", 9: "nanoseconds"}
		for p, name := range units {
			if unit := math.Pow10(p); greatest >= from*unit && greatest <= to*unit {
				places = p
				t.o.Note("the times of %s were taken for %s since 1970", t.name, name)
			}
		}
		if places == 0 {
			return nil, fmt.Errorf("found time %g, want seconds, or milliseconds, microseconds or nanoseconds "+
				"since 1970", greatest)
		}
	}
	out := make([]time.Time, len(stamps))
	for i, s := range stamps {
		ns, ok := s.nanoseconds(places)
		if !ok {
			return nil, fmt.Errorf("found time %ge%d, want seconds since 1970", s.magnitude(), 0)
		}
		out[i] = time.Unix(0, ns).UTC()
	}
	return out, nil
}
