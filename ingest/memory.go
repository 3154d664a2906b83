package ingest

import (
	"math"
	"reflect"
)

// Take takes the memory for n values of size bytes from the account of o.
func (o Options) Take(n, size int) error {
	if size > 0 && n > math.MaxInt64/size {
		return o.Account.Take(math.MaxInt64)
	}
	return o.Account.Take(int64(n) * int64(size))
}

// Make returns n zero values, whose memory it takes from the account of o.
func Make[T any](o Options, n int) ([]T, error) {
	if err := o.Take(n, int(reflect.TypeFor[T]().Size())); err != nil {
		return nil, err
	}
	return make([]T, n), nil
}

// PointBytes is the size of the coordinates, IntensityBytes that of the intensity and ColorBytes that of the colour of a
// point in a [PointCloud].
const (
	PointBytes     = 3 * 8
	IntensityBytes = 4
	ColorBytes     = 3
)
