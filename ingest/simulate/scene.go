package simulate

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Scene is a synthetic world in which every distance is known.
type Scene interface {
	// At returns what the sensor sees at a time after the start.
	At(time.Duration) View
}

// Named is a scene that users can choose by name.
type Named struct {
	Name, Doc string
	New       func(seed uint64) Scene
}

// Scenes are the scenes that users can choose by name.
var Scenes = []Named{
	{
		"room", "An empty hall of 12 x 16 x 5 m. The sensor is 1.5 m above the floor, off the middle.",
		func(uint64) Scene { return Box{Min: [3]float64{-5, -7, -1.5}, Max: [3]float64{7, 9, 3.5}} },
	},
	{"sphere", "The inside of a sphere with a radius of 5 m.", func(uint64) Scene { return Sphere{Radius: 5} }},
	{
		"street", "A street with traffic, seen from a parked car.",
		func(seed uint64) Scene { return Street(seed, StreetOptions{Moving: true}) },
	},
	{
		"drive", "A street with traffic, seen from a car at 10 m/s, which starts again after a minute.",
		func(seed uint64) Scene {
			return Street(seed, StreetOptions{Moving: true, Speed: 10, Length: time.Minute})
		},
	},
	{
		"jam", "A crowded street in which nothing moves.",
		func(seed uint64) Scene { return Street(seed, StreetOptions{Density: 2}) },
	},
	{
		"hills", "Like drive, over hills with slopes of up to 10 %.",
		func(seed uint64) Scene {
			return Street(seed, StreetOptions{Moving: true, Speed: 10, Length: time.Minute, Slope: 0.1})
		},
	},
	{"indoors", "A furnished room, seen by a camera that turns.", func(seed uint64) Scene { return Room(seed) }},
}

// NamedScene returns the scene with the given name. Scenes without chance ignore the seed.
func NamedScene(name string, seed uint64) (Scene, error) {
	names := make([]string, len(Scenes))
	for i, s := range Scenes {
		if s.Name == name {
			return s.New(seed), nil
		}
		names[i] = s.Name
	}
	slices.Sort(names)
	return nil, fmt.Errorf("scene: found %.40q, want one of %s", name, strings.Join(names, ", "))
}

// Sphere is the inside of a sphere around the sensor.
type Sphere struct{ Radius float64 }

// At returns the sphere: it does not change.
func (s Sphere) At(time.Duration) View { return s }

// Cast solves |from + t direction| = Radius for positive t.
func (s Sphere) Cast(from, direction [3]float64) Hit {
	p, d := vecOf(from), vecOf(direction)
	b, c := p.dot(d), p.dot(p)
	return Hit{Range: -b + math.Sqrt(b*b-c+s.Radius*s.Radius), Class: Wall, Reflectivity: 1}
}

// Box is the inside of a box with the sensor in it.
type Box struct{ Min, Max [3]float64 }

// At returns the box: it does not change.
func (b Box) At(time.Duration) View { return b }

// Cast returns the nearest of the three walls ahead.
func (b Box) Cast(from, direction [3]float64) Hit {
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
	return Hit{Range: near, Class: Wall, Reflectivity: 1}
}
