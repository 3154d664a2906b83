package onnx

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format/onnx/internal/onnxpb"
	"github.com/voxelstream/voxelstream/nn/internal/op"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// sweeps is the number of sweeps of Jacobi rotations. They converge quadratically: a fifth one changes nothing.
const sweeps = 6

// planeKey tells the projections of a graph apart. The views of a volume share one.
type planeKey struct {
	x              string
	size           int
	scale, upright float64
}

// projection has what all views of a volume have in common, all of it double except weights and images.
type projection struct {
	cells   int
	weights string // [N,1,cells], float: shares in the sum of the values
	place   string // [N,2,cells]: along rows and columns in view 0, in pixels from the middle of the image
	axes    string // [N,2,3]: directions of rows and columns in view 0
	upright string // [N,1], bool, or "" if no volume counts as upright
	full    string // [N,1]: 1 for a volume with values, 0 for others
	images  map[look]string
}

// look is what the image of a projection depends on.
type look struct {
	view        int
	angle, zoom float64
}

// double stores a number of float64, once, and returns its name.
func (e *exporter) double(v float64) string {
	return e.doubles("double_"+strconv.FormatFloat(v, 'g', -1, 64), []float64{v})
}

// doubles stores numbers of float64, once per name, and returns the name.
func (e *exporter) doubles(name string, values []float64, dims ...int) string {
	if !e.stored[name] {
		e.stored[name] = true
		e.graph.Initializer = append(e.graph.Initializer, doubleTensor(name, values, dims...))
	}
	return name
}

// table stores numbers of float64 under a new name.
func (e *exporter) table(values []float64, dims ...int) string {
	e.serial++
	return e.doubles("constant_"+strconv.Itoa(e.serial), values, dims...)
}

// on appends a node without attributes.
func (e *exporter) on(op string, in ...string) string { return e.node(op, in) }

func (e *exporter) reshaped(x string, dims ...int) string {
	return e.on("Reshape", x, e.wholes(dims...))
}

func (e *exporter) cast(x string, elem int) string {
	return e.node("Cast", []string{x}, integer("to", elem))
}

// summed is the sum along axes, which stay with a size of 1.
func (e *exporter) summed(x string, axes ...int) string {
	return e.on("ReduceSum", x, e.wholes(axes...))
}

// taken returns the elements at some places of an axis.
func (e *exporter) taken(x string, axis int, places ...int) string {
	return e.node("Gather", []string{x, e.wholes(places...)}, integer("axis", axis))
}

// backwards reverses an axis of some size.
func (e *exporter) backwards(x string, axis, size int) string {
	places := make([]int, size)
	for i := range places {
		places[i] = size - 1 - i
	}
	return e.taken(x, axis, places...)
}

// quotient is a / b where the condition holds, or else otherwise.
func (e *exporter) quotient(condition, a, b, otherwise string) string {
	return e.on("Where", condition, e.on("Div", a, e.on("Where", condition, b, e.double(1))), otherwise)
}

// upright returns whether volumes, of non-negative doubles [N,lines,W,...], are less asymmetric along the width than a
// threshold: [N,1].
func (e *exporter) upright(values string, width int, threshold float64, axes ...int) string {
	differences := e.on("Abs", e.on("Sub", values, e.backwards(values, 2, width)))
	least := e.on("Mul", e.summed(values, axes...), e.double(threshold))
	return e.reshaped(e.on("Less", e.summed(differences, axes...), least), -1, 1)
}

// cubeRotation writes a layer CubeRotation.
func (e *exporter) cubeRotation(r *layers.CubeRotation, in nn.Shape, x *written) *written {
	turn, size := op.CubeRotations[r.Rotation], in[0]
	plain := e.plain(x)
	order := []int{0}
	for _, axis := range turn.Axes {
		order = append(order, axis+1)
	}
	turned := e.node("Transpose", []string{plain}, ints("perm", append(order, 4)...))
	for a, back := range turn.Back {
		if back {
			turned = e.backwards(turned, a+1, size)
		}
	}
	if r.Upright > 0 {
		values := e.cast(e.on("Relu", e.reshaped(plain, -1, size*size, size, in[3])), typeDouble)
		still := e.reshaped(e.upright(values, size, r.Upright, 1, 2, 3), -1, 1, 1, 1, 1)
		turned = e.on("Where", still, plain, turned)
	}
	return &written{plain: turned}
}

// principalPlane writes a layer PrincipalPlane.
func (e *exporter) principalPlane(p *layers.PrincipalPlane, in nn.Shape, x *written) *written {
	key := planeKey{e.plain(x), p.Size, p.Scale, p.Upright}
	plane, ok := e.planes[key]
	if !ok {
		plane = e.projection(p, in, key.x)
		e.planes[key] = plane
	}
	image, rows := e.view(p, plane), p.Size
	if p.Pose {
		rows++
		image = e.node("Concat", []string{image, e.pose(p, plane)}, integer("axis", 1))
	}
	return &written{plain: e.reshaped(image, -1, 1, rows, p.Size, 1)}
}

// view returns the image of a view: [N,Size,Size]. Without an angle it is that of view 0, mirrored and transposed.
func (e *exporter) view(p *layers.PrincipalPlane, plane *projection) string {
	if p.Angle != 0 {
		return e.image(p.Size, plane, look{p.View, p.Angle, p.Zoom})
	}
	first := e.image(p.Size, plane, look{0, 0, p.Zoom})
	image := first
	for axis := range 2 {
		if p.View>>axis&1 > 0 {
			image = e.backwards(image, axis+1, p.Size)
		}
	}
	if p.View&4 > 0 {
		image = e.node("Transpose", []string{image}, ints("perm", 0, 2, 1))
	}
	if plane.upright != "" && p.View > 0 {
		image = e.on("Where", e.reshaped(plane.upright, -1, 1, 1), first, image)
	}
	return image
}

// seen returns directions or places, [N,2,...], of view 0 in another view, which upright volumes do not have, then
// turned by an angle and magnified.
func (e *exporter) seen(x string, plane *projection, l look) string {
	sin, cos := math.Sincos(l.angle)
	turn := []float64{l.zoom * cos, l.zoom * sin, -l.zoom * sin, l.zoom * cos}
	view := slices.Clone(turn)
	if l.view&4 > 0 {
		view[0], view[1], view[2], view[3] = view[1], view[0], view[3], view[2]
	}
	for axis := range 2 {
		if l.view>>axis&1 > 0 {
			view[axis], view[2+axis] = -view[axis], -view[2+axis]
		}
	}
	product := func(matrix []float64) string {
		if slices.Equal(matrix, []float64{1, 0, 0, 1}) {
			return x
		}
		return e.on("MatMul", e.table(matrix, 1, 2, 2), x)
	}
	if plane.upright == "" || l.view == 0 {
		return product(view)
	}
	return e.on("Where", e.reshaped(plane.upright, -1, 1, 1), product(turn), product(view))
}

// image returns the image of the voxels, once per look: [N,Size,Size].
func (e *exporter) image(size int, plane *projection, l look) string {
	if image, ok := plane.images[l]; ok {
		return image
	}
	place := e.on("Add", e.seen(plane.place, plane, l), e.double(float64(size-1)/2))
	// Bilinear interpolation: a pixel gets from a value what it is closer than 1 along both axes.
	pixels := make([]float32, size)
	for i := range pixels {
		pixels[i] = float32(i)
	}
	near := func(x string, dims ...int) string {
		distance := e.on("Abs", e.on("Sub", e.cast(x, typeFloat), e.numbers(pixels, dims...)))
		return e.on("Relu", e.on("Sub", e.numbers([]float32{1}), distance))
	}
	rows := near(e.taken(place, 1, 0), size, 1) // [N,Size,cells]
	columns := near(e.reshaped(e.taken(place, 1, 1), -1, plane.cells, 1), size)
	image := e.on("MatMul", e.on("Mul", rows, plane.weights), columns)
	squares := e.cast(e.summed(e.on("Mul", image, image), 1, 2), typeDouble)
	lit := e.on("Greater", squares, e.double(0))
	factor := e.on("Sqrt", e.quotient(lit, e.double(float64(size*size)), squares, e.double(1)))
	image = e.on("Mul", image, e.cast(factor, typeFloat))
	plane.images[l] = image
	return image
}

// pose returns the line with the pose: [N,1,Size].
func (e *exporter) pose(p *layers.PrincipalPlane, plane *projection) string {
	line := e.reshaped(e.seen(plane.axes, plane, look{p.View, p.Angle, 1}), -1, 6)
	numbers := 6
	if plane.upright != "" {
		numbers = layers.PoseSize
		line = e.node("Concat", []string{line, e.cast(plane.upright, typeDouble)}, integer("axis", 1))
	}
	line = e.cast(e.on("Mul", line, plane.full), typeFloat)
	places := make([]float32, numbers*p.Size) // of the numbers in the line
	for i := range numbers {
		places[i*p.Size+i] = 1
	}
	return e.reshaped(e.on("MatMul", line, e.numbers(places, numbers, p.Size)), -1, 1, p.Size)
}

// projection writes what op.PrincipalPlane computes for all views of a volume, in float64.
func (e *exporter) projection(p *layers.PrincipalPlane, in nn.Shape, x string) *projection {
	dims, cells := in[:3], in[0]*in[1]*in[2]
	middle := float64(p.Size-1) / 2
	zero, one := e.double(0), e.double(1)
	var places []float32 // of the cells: all x, all y, all z
	for a := range 3 {
		for i := range cells {
			places = append(places, float32([3]int{i % dims[2], i / dims[2] % dims[1], i / dims[2] / dims[1]}[a]))
		}
	}
	at := e.cast(e.numbers(places, 1, 3, cells), typeDouble)

	// The share of each cell in the sum of the values above 0. Volumes with an infinite sum count as empty.
	values := e.cast(e.reshaped(x, -1, cells), typeDouble)
	values = e.on("Where", e.on("Greater", values, zero), values, zero)
	total := e.summed(values, 1)
	full := e.on("And", e.on("Greater", total, zero), e.on("Less", total, e.double(math.MaxFloat64)))
	shares := e.quotient(full, values, total, zero)
	column, row := e.reshaped(shares, -1, cells, 1), e.reshaped(shares, -1, 1, cells)

	offset := e.on("Sub", at, e.summed(e.on("Mul", at, row), 2)) // from the centre: [N,3,cells]
	across := e.node("Transpose", []string{offset}, ints("perm", 0, 2, 1))
	moments := e.on("MatMul", e.on("Mul", offset, row), across)
	spread, axes := e.longest(moments)

	// Third moments are positive.
	place := e.on("MatMul", axes, offset) // [N,2,cells]: along rows and columns
	third := e.on("MatMul", e.on("Mul", e.on("Mul", place, place), place), column)
	sign := e.on("Where", e.on("Less", third, zero), e.double(-1), one)
	axes, place = e.on("Mul", axes, sign), e.on("Mul", place, sign)

	// The root mean square distance is Scale pixels, but the furthest voxel lies in the image.
	radius := e.on("Sqrt", e.summed(e.on("Max", spread, zero), 1))
	scale := e.quotient(e.on("Greater", radius, zero), e.double(p.Scale), radius, one)
	reach := e.on("Where", e.on("Greater", row, zero), e.on("Abs", place), zero)
	reach = e.on("ReduceMax", reach, e.wholes(1, 2))
	outside := e.on("Greater", e.on("Mul", reach, scale), e.double(middle))
	scale = e.quotient(outside, e.double(middle), reach, scale)
	place = e.on("Mul", place, scale)

	out := &projection{
		cells: cells, weights: e.cast(row, typeFloat), full: e.cast(full, typeDouble), images: map[look]string{},
	}
	if p.Upright > 0 {
		out.upright = e.upright(e.reshaped(values, -1, dims[0]*dims[1], dims[2]), dims[2], p.Upright, 1, 2)
		still := e.reshaped(out.upright, -1, 1, 1)
		along := e.doubles("upright_axes", []float64{0, 0, -1, 0, 1, 0}, 1, 2, 3)
		part := min(1, float64(p.Size)/float64(max(dims[0], dims[1])))
		up := e.on("MatMul", e.table([]float64{0, 0, -part, 0, part, 0}, 1, 2, 3), at)
		up = e.on("Add", up, e.table([]float64{part * float64(dims[0]-1) / 2, -part * float64(dims[1]-1) / 2}, 1, 2, 1))
		place, axes = e.on("Where", still, up, place), e.on("Where", still, along, axes)
	}
	out.place, out.axes = place, axes
	return out
}

// longest returns the two largest eigenvalues of symmetric matrices [N,3,3], as [N,2,1], and unit eigenvectors, as
// [N,2,3]: what internal/eigen computes, with a fixed number of rotations.
func (e *exporter) longest(m string) (values, axes string) {
	vectors := ""
	trace := e.summed(e.taken(e.reshaped(m, -1, 9), 1, 0, 4, 8), 1)
	least := e.on("Mul", trace, e.double(1e-15))
	for range sweeps {
		for _, plane := range [][2]int{{0, 1}, {0, 2}, {1, 2}} {
			turn := e.rotation(m, plane[0], plane[1], least)
			back := e.node("Transpose", []string{turn}, ints("perm", 0, 2, 1))
			m = e.on("MatMul", back, e.on("MatMul", m, turn))
			if vectors == "" {
				vectors = turn
			} else {
				vectors = e.on("MatMul", vectors, turn)
			}
		}
	}
	values = e.taken(e.reshaped(m, -1, 9), 1, 0, 4, 8)
	column, row := e.reshaped(values, -1, 3, 1), e.reshaped(values, -1, 1, 3)
	// The rank of a value is the number of those above it. Of equal ones the first comes first.
	above := e.cast(e.on("Greater", row, column), typeDouble)
	equal := e.cast(e.on("Equal", row, column), typeDouble)
	earlier := e.doubles("earlier", []float64{0, 0, 0, 1, 0, 0, 1, 1, 0}, 3, 3)
	rank := e.summed(e.on("Add", above, e.on("Mul", equal, earlier)), 2)
	ranks := e.doubles("ranks", []float64{0, 1}, 1, 2, 1)
	chosen := e.cast(e.on("Equal", e.reshaped(rank, -1, 1, 3), ranks), typeDouble)
	vectors = e.node("Transpose", []string{vectors}, ints("perm", 0, 2, 1))
	return e.on("MatMul", chosen, column), e.on("MatMul", chosen, vectors)
}

// rotation returns the rotations in the plane of the axes a and b that make element (a, b) of matrices zero where it is
// above least.
func (e *exporter) rotation(m string, a, b int, least string) string {
	zero, one := e.double(0), e.double(1)
	flat := e.reshaped(m, -1, 9)
	off := e.taken(flat, 1, 3*a+b)
	difference := e.on("Sub", e.taken(flat, 1, 3*b+b), e.taken(flat, 1, 3*a+a))
	done := e.on("LessOrEqual", e.on("Abs", off), least)
	theta := e.on("Div", difference, e.on("Where", done, one, e.on("Add", off, off)))
	sign := e.on("Where", e.on("Less", theta, zero), e.double(-1), one)
	root := e.on("Sqrt", e.on("Add", e.on("Mul", theta, theta), one))
	tan := e.on("Div", e.on("Where", done, zero, sign), e.on("Add", e.on("Abs", theta), root))
	cos := e.on("Div", one, e.on("Sqrt", e.on("Add", e.on("Mul", tan, tan), one)))
	both, rest := make([]float64, 18), make([]float64, 9)
	both[4*a], both[4*b] = 1, 1
	both[9+3*a+b], both[9+3*b+a] = 1, -1
	rest[4*(3-a-b)] = 1
	plane := strconv.Itoa(a) + strconv.Itoa(b)
	turns := e.doubles("turns_"+plane, both, 2, 9)
	turn := e.node("Concat", []string{cos, e.on("Mul", tan, cos)}, integer("axis", 1))
	turn = e.on("Add", e.on("MatMul", turn, turns), e.doubles("rest_"+plane, rest, 9))
	return e.reshaped(turn, -1, 3, 3)
}

// doubleTensor returns a tensor of doubles for the file.
func doubleTensor(name string, values []float64, dims ...int) *onnxpb.Tensor {
	raw := make([]byte, 0, 8*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(v))
	}
	return &onnxpb.Tensor{Name: &name, DataType: proto.Int32(typeDouble), Dims: whole(dims), RawData: raw}
}
