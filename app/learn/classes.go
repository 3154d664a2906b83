package learn

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/nn"
)

// naming numbers classes by their names, so that files that number them differently agree. The numbers are those of the
// first file that names its classes; further names get the next ones.
type naming struct {
	names []string
	// fixed says that the names are those of a model or of the user, so that the data can have no others.
	fixed bool
}

// fixedNames returns the names of a model's classes, or none if it does not name them.
func fixedNames(names []string) naming {
	for i, n := range names {
		if n != strconv.Itoa(i) {
			return naming{names, true}
		}
	}
	return naming{}
}

// number returns the number of a class. A new class gets the next number.
func (c *naming) number(name string) (int32, error) {
	i := slices.Index(c.names, name)
	switch {
	case i >= 0:
	case c.fixed:
		return 0, fmt.Errorf("found label %q, want the name of a class: %.200s", name, fmt.Sprintf("%q", c.names))
	case len(c.names) == nn.MaxClasses:
		return 0, fmt.Errorf("found label %q, but there are %d classes already, the limit", name, nn.MaxClasses)
	default:
		i = len(c.names)
		c.names = append(c.names, name)
	}
	return int32(i), nil // below nn.MaxClasses
}

// relabel replaces the label of a sample from a file that names its classes. Numbers without a name stay as they are.
func (c *naming) relabel(s *ingest.Sample, names []string) error {
	if s.Label < 0 || int(s.Label) >= len(names) {
		return nil
	}
	if len(c.names) == 0 && len(names) <= nn.MaxClasses {
		c.names = slices.Clone(names)
	}
	label, err := c.number(names[s.Label])
	if err != nil {
		return &ingest.ItemError{ID: s.ID, Err: err}
	}
	s.Label = label
	return nil
}

// padded returns the names of n classes. Those without a name get their number.
func (c *naming) padded(n int) []string {
	if len(c.names) == 0 || len(c.names) > n {
		return nil
	}
	out := slices.Clone(c.names)
	for i := len(out); i < n; i++ {
		out = append(out, strconv.Itoa(i))
	}
	return out
}
