package voxelize

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Edges are the edge lengths of a cell along z, y, x in metres, in the order of the grid size. Methods fit lengths of 0
// to the points. The text form is one number for cubes, or DEPTHxHEIGHTxWIDTH such as 4x0.16x0.16.
type Edges [3]float64

// Cubes returns the edges of a cube.
func Cubes(edge float64) Edges { return Edges{edge, edge, edge} }

// Cubic reports whether all edges are equal.
func (e Edges) Cubic() bool { return e[0] == e[1] && e[1] == e[2] }

// String returns the text form that UnmarshalText reads.
func (e Edges) String() string {
	number := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	if e.Cubic() {
		return number(e[0])
	}
	return number(e[0]) + "x" + number(e[1]) + "x" + number(e[2])
}

// MarshalText returns String.
func (e Edges) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText parses one number, or three with an x between them.
func (e *Edges) UnmarshalText(text []byte) error {
	parts := strings.Split(string(text), "x")
	if len(parts) == 1 {
		parts = []string{parts[0], parts[0], parts[0]}
	}
	if len(parts) != len(e) {
		return errEdges
	}
	var out Edges
	for i, part := range parts {
		x, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
		if err != nil {
			return errEdges
		}
		out[i] = x
	}
	if err := out.check(); err != nil {
		return err
	}
	*e = out
	return nil
}

// Plain says that the value may be a plain number.
func (Edges) Plain() string { return "number" }

var errEdges = errors.New("want one number of metres, or DEPTHxHEIGHTxWIDTH such as 4x0.16x0.16, 0 or more")

// check reports edges that are not lengths.
func (e Edges) check() error {
	for _, x := range e {
		if !(x >= 0) || math.IsInf(x, 0) {
			return fmt.Errorf("found %v, %w", e, errEdges)
		}
	}
	return nil
}

// Position is a point in metres, or none if At is nil. The text form is X,Y,Z, or empty.
type Position struct{ At *[3]float64 }

// At returns a position.
func At(x, y, z float64) Position { return Position{&[3]float64{x, y, z}} }

// String returns the text form.
func (p Position) String() string {
	if p.At == nil {
		return ""
	}
	parts := make([]string, len(p.At))
	for i, x := range p.At {
		parts[i] = strconv.FormatFloat(x, 'g', -1, 64)
	}
	return strings.Join(parts, ",")
}

// MarshalText returns String.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText parses X,Y,Z or an empty text.
func (p *Position) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*p = Position{}
		return nil
	}
	parts := strings.Split(string(text), ",")
	if len(parts) != len(p.At) {
		return errPosition
	}
	var at [3]float64
	for i, part := range parts {
		x, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
		if err != nil || x-x != 0 {
			return errPosition
		}
		at[i] = x
	}
	p.At = &at
	return nil
}

var errPosition = errors.New("want X,Y,Z in metres such as 0,-39.68,-3")

// check reports a position that is not finite.
func (p Position) check() error {
	if p.At != nil && !finite(p.At[0], p.At[1], p.At[2]) {
		return fmt.Errorf("found %v, want finite numbers", *p.At)
	}
	return nil
}
