package onnx

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// multiplied multiplies matrices, the last two axes of its inputs; broadcasting lines up the axes before them. An
// input with one axis is a row or a column.
func (o *operation) multiplied(a, b *array, elem int) (*array, error) {
	if len(a.shape) == 0 || len(b.shape) == 0 {
		return nil, errors.New("found a single number, want matrices")
	}
	row, column := len(a.shape) == 1, len(b.shape) == 1
	var err error
	if row {
		if a.along >= 0 {
			return nil, o.keepsBatch(a, 0)
		}
		if a, err = o.reshaped(a, []int{1, a.shape[0]}, noBatch); err != nil {
			return nil, err
		}
	}
	if column {
		if b.along >= 0 {
			return nil, o.keepsBatch(b, 0)
		}
		if b, err = o.reshaped(b, []int{b.shape[0], 1}, noBatch); err != nil {
			return nil, err
		}
	}
	rank := max(len(a.shape), len(b.shape))
	if a, err = o.ranked(a, rank); err != nil {
		return nil, err
	}
	if b, err = o.ranked(b, rank); err != nil {
		return nil, err
	}
	m := op.MatMul{M: a.shape[rank-2], K: a.shape[rank-1], N: b.shape[rank-1]}
	if b.shape[rank-2] != m.K {
		return nil, fmt.Errorf("found matrices of shapes %v", shapes([]*array{a, b}))
	}
	shape, along := slices.Clone(a.shape[:rank-2]), noBatch
	for k, d := range b.shape[:rank-2] {
		if shape[k] == 1 {
			shape[k] = d
		} else if d != 1 && d != shape[k] {
			return nil, fmt.Errorf("found matrices of shapes %v", shapes([]*array{a, b}))
		}
	}
	for k, x := range []*array{a, b} {
		// The sums run along the last axis of a and the last but one of b.
		switch other := []*array{b, a}[k]; {
		case x.along < 0:
		case x.along == rank-1-k:
			return nil, o.keepsBatch(x, x.along)
		case along >= 0 && along != x.along:
			return nil, fmt.Errorf("found the batch as axes %d and %d", along, x.along)
		case x.along < rank-2 && other.along < 0 && other.shape[x.along] != 1,
			x.along < rank-2 && x.shape[x.along] != shape[x.along],
			x.along >= rank-2 && other.along >= 0:
			return nil, errors.New("found matrices that differ along the batch")
		default:
			along = x.along
		}
	}
	if elements(shape) > maxAxis {
		return nil, fmt.Errorf("found matrices of shapes %v, want at most %d of them", shapes([]*array{a, b}), maxAxis)
	}
	m.CountA, m.CountB = elements(a.shape[:rank-2]), elements(b.shape[:rank-2])
	m.A, m.B = matrices(a.shape[:rank-2], shape), matrices(b.shape[:rank-2], shape)
	shape = append(shape, m.M, m.N)
	y, err := o.emit(func() ir.Op { return new(m) }, shape, along, elem, a, b)
	if err != nil || !row && !column {
		return y, err
	}
	shape = shape[:rank-2]
	if !row {
		shape = append(slices.Clone(shape), m.M)
	}
	if !column {
		shape = append(slices.Clone(shape), m.N)
	}
	if along > len(shape)-1 {
		along--
	}
	return o.reshaped(y, shape, along)
}

// matrices returns, for each matrix of the result, that of an input of which broadcasting makes it.
func matrices(in, out []int) []int32 {
	steps, list := op.Broadcast(in, out), make([]int32, elements(out))
	for i := range list {
		rest := i
		for k, d := range slices.Backward(out) {
			list[i] += int32(rest % d * steps[k])
			rest /= d
		}
	}
	return list
}

func matMulArray(o *operation) ([]*array, error) {
	a, b := o.arg(0), o.arg(1)
	y, err := o.multiplied(a, b, a.kindOf())
	return []*array{y}, err
}

// gemmArray is alpha A B + beta C, where A and B may be transposed and broadcasting lines up C.
func gemmArray(o *operation) ([]*array, error) {
	alpha, beta := o.float("alpha", 1), o.float("beta", 1)
	o.integer("broadcast", 1)
	in := []*array{o.arg(0), o.arg(1)}
	for k, name := range []string{"transA", "transB"} {
		if len(in[k].shape) != 2 {
			return nil, fmt.Errorf("input %d has shape %v, want a matrix", k, in[k].shape)
		}
		if o.integer(name, 0) != 0 {
			var err error
			if in[k], err = o.moved(in[k], []int{1, 0}); err != nil {
				return nil, err
			}
		}
	}
	y, err := o.multiplied(in[0], in[1], in[0].kindOf())
	if err != nil {
		return nil, err
	}
	if y, err = o.scaled(y, alpha); err != nil {
		return nil, err
	}
	if c := o.arg(2); c != nil {
		if c, err = o.scaled(c, beta); err != nil {
			return nil, err
		}
		shape := y.shape
		if y, err = o.combined(combinations["Add"], y.kindOf(), y, c); err != nil {
			return nil, err
		}
		if !slices.Equal(y.shape, shape) {
			return nil, fmt.Errorf("input 2 has shape %v, want one that broadcasting lines up with %v", c.shape, shape)
		}
	}
	return []*array{y}, nil
}

// scaled multiplies by a number.
func (o *operation) scaled(a *array, by float64) (*array, error) {
	if by == 1 {
		return a, nil
	}
	return o.unary(
		a,
		curve{func(x float64) float64 { return x * by }, func(_, _ float64) float64 { return by }},
		a.kindOf(),
	)
}

// einsum reads sums of products in Einstein's notation, of one or two arrays.
func einsum(o *operation) ([]*array, error) {
	equation := strings.ReplaceAll(o.text("equation", ""), " ", "")
	left, out, explicit := strings.Cut(equation, "->")
	terms := strings.Split(left, ",")
	unsupported := fmt.Errorf(
		"attribute \"equation\" is %q for %d inputs, want one or two of them",
		equation,
		len(o.in),
	)
	if len(terms) != len(o.in) || len(terms) > 2 {
		return nil, unsupported
	}
	var in []*array
	for k := range terms {
		a := o.arg(k)
		if dots := strings.Index(terms[k], "..."); dots >= 0 { // capital letters, from the right
			n := len(a.shape) - (len(terms[k]) - 3)
			if n < 0 || n > maxAxes {
				return nil, unsupported
			}
			terms[k] = terms[k][:dots] + "\x01\x02\x03\x04\x05\x06\x07\x08"[maxAxes-n:] + terms[k][dots+3:]
		}
		if len(terms[k]) != len(a.shape) {
			return nil, unsupported
		}
		in = append(in, a)
	}
	all := strings.Join(terms, "")
	letters := []byte{}
	for _, c := range slices.Sorted(slices.Values([]byte(all))) {
		if len(letters) == 0 || letters[len(letters)-1] != c {
			letters = append(letters, c)
		}
	}
	dots := string(slices.DeleteFunc(slices.Clone(letters), func(c byte) bool { return c > maxAxes }))
	if out = strings.Replace(out, "...", dots, 1); !explicit {
		out = dots
		for _, c := range letters {
			if c > maxAxes && strings.Count(all, string(c)) == 1 {
				out += string(c)
			}
		}
	}
	for _, c := range out {
		if !strings.ContainsRune(all, c) || strings.Count(out, string(c)) > 1 {
			return nil, unsupported
		}
	}
	y, at, err := o.contracted(in, terms, out)
	if err != nil {
		return nil, err
	}
	order := make([]int, len(out))
	for k := range order {
		order[k] = strings.IndexByte(at, out[k])
	}
	y, err = o.moved(y, order)
	return []*array{y}, err
}

// contracted multiplies and sums; at names the axes of the result, which are those of out in some order.
func (o *operation) contracted(in []*array, terms []string, out string) (y *array, at string, err error) {
	for k := range in {
		if in[k], terms[k], err = o.diagonal(in[k], terms[k]); err != nil {
			return nil, "", err
		}
		// Sum what neither the result nor the other operand has.
		var axes []int
		var rest strings.Builder
		for i := range terms[k] {
			c := terms[k][i : i+1]
			if strings.Contains(out, c) || len(in) == 2 && strings.Contains(terms[1-k], c) {
				rest.WriteString(c)
			} else {
				axes = append(axes, i)
			}
		}
		if err := o.keepsBatch(in[k], axes...); err != nil {
			return nil, "", err
		}
		if len(axes) > 0 {
			if in[k], err = o.reduced(in[k], "sum", axes, false, false, in[k].kindOf()); err != nil {
				return nil, "", err
			}
			terms[k] = rest.String()
		}
	}
	if len(in) == 1 {
		return in[0], terms[0], nil
	}
	// Axes of both and the result come first, then those of one, then those that are summed.
	var both, left, right, sum string
	for _, c := range terms[0] {
		switch s := string(c); {
		case !strings.Contains(terms[1], s):
			left += s
		case strings.Contains(out, s):
			both += s
		default:
			sum += s
		}
	}
	for _, c := range terms[1] {
		if !strings.ContainsRune(terms[0], c) {
			right += string(c)
		}
	}
	a, err := o.arranged(in[0], terms[0], both, left, sum)
	if err != nil {
		return nil, "", err
	}
	b, err := o.arranged(in[1], terms[1], both, sum, right)
	if err != nil {
		return nil, "", err
	}
	if y, err = o.multiplied(a, b, in[0].kindOf()); err != nil {
		return nil, "", err
	}
	shape, along := []int{}, noBatch
	for _, c := range both + left + right {
		d := 1
		for k := range in {
			if i := strings.IndexRune(terms[k], c); i >= 0 {
				if d = max(d, in[k].shape[i]); i == in[k].along {
					along = len(shape)
				}
			}
		}
		shape = append(shape, d)
	}
	y, err = o.reshaped(y, shape, along)
	return y, both + left + right, err
}

// diagonal keeps the elements whose places along axes of the same name are equal.
func (o *operation) diagonal(a *array, term string) (*array, string, error) {
	for i := range term {
		k := strings.IndexByte(term[i+1:], term[i]) + i + 1
		if k == i {
			continue
		}
		if err := o.keepsBatch(a, i, k); err != nil {
			return nil, "", err
		}
		if a.shape[i] != a.shape[k] || a.along >= 0 {
			return nil, "", fmt.Errorf(
				"found an array of shape %v, want equal sizes along axes %d and %d",
				a.shape,
				i,
				k,
			)
		}
		shape := slices.Delete(slices.Clone(a.shape), k, k+1)
		step := elements(a.shape[k+1:])
		y, err := o.pick(a, shape, noBatch, func() []int32 {
			from := make([]int32, elements(shape))
			for at := range from {
				rest, place, by := at, 0, 1
				for axis, d := range slices.Backward(a.shape) {
					if axis == k {
						by *= d
						continue
					}
					p := rest % d
					if rest /= d; axis == i {
						place += p * step
					}
					place, by = place+p*by, by*d
				}
				from[at] = int32(place)
			}
			return from
		})
		if err != nil {
			return nil, "", err
		}
		return o.diagonal(y, term[:k]+term[k+1:])
	}
	return a, term, nil
}

// arranged returns the axes of a in groups: those of both operands each on its own, the other two groups as one
// axis each.
func (o *operation) arranged(a *array, term, both, rows, columns string) (*array, error) {
	var order []int
	for _, c := range both + rows + columns {
		order = append(order, strings.IndexRune(term, c))
	}
	y, err := o.moved(a, order)
	if err != nil {
		return nil, err
	}
	shape, along := slices.Clone(y.shape[:len(both)]), y.along
	m := len(both) + len(rows)
	switch {
	case y.along < len(both):
	case y.along == len(both):
	case y.along == m:
		along = len(both) + 1
	default:
		return nil, fmt.Errorf("axis %d is the batch, whose samples must stay apart", a.along)
	}
	return o.reshaped(y, append(shape, elements(y.shape[len(both):m]), elements(y.shape[m:])), along)
}
