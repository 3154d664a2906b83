package objects

import "github.com/voxelstream/voxelstream/perception"

// body says what is known of the bodies of a class: limits in metres, with a margin for errors of measurement. A model
// sees the shape of an object, but not its height above the ground, so it takes the end of a branch for a pedestrian.
type body struct {
	// length is the maximum length of the box.
	length float64
	// bottom is the maximum height above the ground of the lowest point that is seen: what is below may be hidden.
	bottom float64
	// top limits the height above the ground of the highest point.
	top perception.Span
}

// bodies lists the classes that stand on the ground and whose sizes vary little.
var bodies = map[string]body{
	"pedestrian": {length: 2.2, bottom: 1.5, top: perception.Span{Lo: 1, Hi: 2.2}},
	"cyclist":    {length: 2.6, bottom: 1.5, top: perception.Span{Lo: 0.9, Hi: 2.3}},
	"car":        {length: 7, bottom: 1.9, top: perception.Span{Lo: 0.5, Hi: 2.8}},
	"truck":      {length: 20, bottom: 3, top: perception.Span{Lo: 1.5, Hi: 4.6}},
	"bin":        {length: 2.5, bottom: 1.2, top: perception.Span{Lo: 0.4, Hi: 1.8}},
}

// plausible reports whether an object of a class can have this length and this extent above the ground, which is nil if
// unknown. Classes that are not listed can have any.
func plausible(class string, length float64, above *perception.Span) bool {
	b, known := bodies[class]
	if !known || length > b.length {
		return !known
	}
	return above == nil || above.Lo <= b.bottom && b.top.Has(above.Hi)
}
