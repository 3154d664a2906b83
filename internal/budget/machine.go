package budget

import (
	"errors"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/voxelstream/voxelstream/internal/option"
)

// Machine returns the memory in bytes that this process may use: that of the machine, or less if the process's control
// group (version 1 or 2) or its address space (ulimit -v) has a lower limit. It is 0 if nothing is known.
func Machine() int64 {
	least := uint64(math.MaxUint64)
	for _, provider := range []memlimit.Provider{memlimit.FromSystem, memlimit.FromCgroup, addressSpace} {
		if n, err := provider(); err == nil && n > 0 {
			least = min(least, n)
		}
	}
	if least > math.MaxInt64 {
		return 0
	}
	return int64(least)
}

// collected is the share of the machine's memory above which the garbage collector works harder. The rest is for what it
// does not manage: the threads' stacks and the memory of libraries in C.
const collected = 0.9

// LimitHeap makes the garbage collector keep the process below the memory of its machine, unless the environment variable
// GOMEMLIMIT sets another limit.
func LimitHeap(machine int64) {
	if os.Getenv("GOMEMLIMIT") == "" && machine > 0 {
		debug.SetMemoryLimit(int64(collected * float64(machine)))
	}
}

// Size is a size of a budget: a number of bytes, or a share of the machine's memory.
type Size struct {
	bytes   option.Bytes
	percent int // 0 if bytes counts
}

// Share returns a share of the machine's memory.
func Share(percent int) Size { return Size{percent: percent} }

// Of returns the number of bytes on a machine with so much memory.
func (s Size) Of(machine int64) int64 {
	if s.percent > 0 {
		return machine / 100 * int64(s.percent)
	}
	return int64(s.bytes)
}

// String is the text that UnmarshalText accepts.
func (s Size) String() string {
	if s.percent > 0 {
		return strconv.Itoa(s.percent) + "%"
	}
	return s.bytes.String()
}

// MarshalText returns String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText parses a number of bytes with its unit, or a percentage.
func (s *Size) UnmarshalText(text []byte) error {
	if digits, ok := strings.CutSuffix(strings.TrimSpace(string(text)), "%"); ok {
		if n, err := strconv.Atoi(digits); err == nil && n >= 1 && n <= 100 {
			*s = Share(n)
			return nil
		}
		return errSize
	}
	var b option.Bytes
	if err := b.UnmarshalText(text); err != nil || b < leastSize {
		return errSize
	}
	*s = Size{bytes: b}
	return nil
}

// leastSize is the smallest budget: the HDF5 reader and the head of a file fit into it.
const leastSize = 1 << 20

var errSize = errors.New("want a percentage of the machine's memory from 1% to 100%, or 1MiB or more with its unit")

// Hint says how a size is written.
func (Size) Hint() string {
	return "A percentage of the memory of the machine or container, or a size with its unit: 60%, 2GiB."
}
