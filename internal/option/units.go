package option

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is a number of bytes, written with a unit: 4KiB, 512MiB, 1GiB. kB, MB and GB are powers of ten.
type Bytes int64

// byteUnits lists the units in the order in which String tries them.
var byteUnits = []struct {
	name string
	size int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"kB", 1e3},
	{"B", 1},
}

// String uses the largest unit that divides the number.
func (b Bytes) String() string {
	for _, u := range byteUnits {
		if b != 0 && int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.name
		}
	}
	return "0B"
}

// Scaled returns the number for people, rounded to a tenth of the largest binary unit that it reaches: 11.4 MiB.
func (b Bytes) Scaled() string {
	for _, u := range byteUnits[:4] { // the binary ones
		if int64(b) >= u.size {
			return strconv.FormatFloat(float64(b)/float64(u.size), 'f', 1, 64) + " " + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10) + " B"
}

// MarshalText returns String.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText parses a whole number and a unit.
func (b *Bytes) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	for _, u := range byteUnits {
		if err == nil && n >= 0 && u.name == s[len(digits):] && n <= math.MaxInt64/u.size {
			*b = Bytes(n * u.size)
			return nil
		}
	}
	return errors.New("want a whole number of bytes with its unit, such as 64KiB, 512MiB or 1GB")
}

// Dims is the size of a voxel grid in cells: depth, height, width. It is written as 16 for a cube, or 16x24x24.
type Dims [3]int

// String returns one number for a cube, else all three.
func (d Dims) String() string {
	if d[0] == d[1] && d[1] == d[2] {
		return strconv.Itoa(d[0])
	}
	return d.Cells()
}

// Cells returns all three numbers, also for a cube: 16x16x16.
func (d Dims) Cells() string { return fmt.Sprintf("%dx%dx%d", d[0], d[1], d[2]) }

// MarshalText returns String.
func (d Dims) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText parses the output of String or Cells.
func (d *Dims) UnmarshalText(text []byte) error {
	parts := strings.Split(string(text), "x")
	if len(parts) == 1 {
		parts = []string{parts[0], parts[0], parts[0]}
	}
	var out Dims
	bad := len(parts) != 3
	for i := 0; i < 3 && !bad; i++ {
		n, err := strconv.Atoi(parts[i])
		out[i], bad = n, err != nil || n < 1 || n > 1<<12
	}
	if bad {
		return errors.New("want a cube's size such as 16, or depth x height x width such as 16x24x24, each at most 4096")
	}
	*d = out
	return nil
}
