// Package arrays interprets the arrays of NumPy and HDF5 files: which of them hold data and which hold labels, and what
// a row of one is.
package arrays

import (
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/option"
)

// Options choose arrays, and decide how they are read where their shape leaves a choice.
type Options struct {
	Data          string `yaml:"data" flag:"data" doc:"Array to read from an .npz archive or HDF5 file, by its path in the file. Empty chooses by the usual names, such as X_train, data or images."`
	Labels        string `yaml:"labels" flag:"labels" doc:"Array with the labels of the data array, by its path in the file. Empty chooses by the usual names, such as y_train, label or targets. none reads no labels."`
	ChannelsFirst bool   `yaml:"channels_first" flag:"channels-first" doc:"Arrays have the channels before the grid: (N, C, D, H, W), or (C, D, H, W) for one grid."`
	RowGrid       Shape  `yaml:"row_grid" flag:"grid" doc:"Grid size of each row of arrays whose shape does not give it, such as (N, 4096). One number for a cube, or DEPTHxHEIGHTxWIDTH. Ignored for rows of another size."`
}

// NewOptions returns the defaults.
func NewOptions() any { return &Options{} }

// Of returns the options in o.
func Of(o ingest.Options) Options { return ingest.ReaderOptions(o, Options{}) }

// NoLabels as the name of the labels reads none.
const NoLabels = "none"

// Shape is the depth, height and width of a grid, or zero if it was not given.
type Shape [3]int

// String is empty for the zero shape.
func (s Shape) String() string {
	if s == (Shape{}) {
		return ""
	}
	return option.Dims(s).String()
}

// MarshalText is String.
func (s Shape) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what String writes.
func (s *Shape) UnmarshalText(text []byte) error {
	if strings.TrimSpace(string(text)) == "" {
		*s = Shape{}
		return nil
	}
	return (*option.Dims)(s).UnmarshalText(text)
}

func (s Shape) cells() int { return s[0] * s[1] * s[2] }
