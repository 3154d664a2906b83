package simulate

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// vec is x to the right, y forward and z up, in metres, from the sensor.
type vec [3]float64

// Scene is a synthetic world in which every distance is known.
type Scene interface {
	// Range returns the distance of the nearest surface from a point within the scene, in the direction of a unit
	// vector.
	Range(from, direction [3]float64) float64
}

// scenes are the scenes that users can choose by name.
var scenes = map[string]Scene{
	// A hall of 12 x 16 x 5 m; the sensor stands 1.5 m above its floor, off its middle.
	"room":   Box{Min: vec{-5, -7, -1.5}, Max: vec{7, 9, 3.5}},
	"sphere": Sphere{Radius: 5},
}

// NamedScene returns the scene with the given name.
func NamedScene(name string) (Scene, error) {
	if s, ok := scenes[name]; ok {
		return s, nil
	}
	return nil, fmt.Errorf("scene: found %.40q, want one of %s", name, strings.Join(slices.Sorted(maps.Keys(scenes)), ", "))
}

// Sphere is the inside of a sphere around the sensor.
type Sphere struct{ Radius float64 }

// Range solves |from + t direction| = Radius for positive t.
func (s Sphere) Range(from, direction [3]float64) float64 {
	var b, c float64
	for i := range from {
		b += from[i] * direction[i]
		c += from[i] * from[i]
	}
	return -b + math.Sqrt(b*b-c+s.Radius*s.Radius)
}

// Box is the inside of a box with the sensor in it.
type Box struct{ Min, Max [3]float64 }

// Range returns the distance to the nearest of the three walls ahead.
func (b Box) Range(from, direction [3]float64) float64 {
	near := math.Inf(1)
	for i, d := range direction {
		wall := b.Max[i]
		if d < 0 {
			wall = b.Min[i]
		}
		if d != 0 {
			near = min(near, (wall-from[i])/d)
		}
	}
	return near
}
