package kernel_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// TestSoftmax wants softmax within 4 units in the last place of float64, its logarithm within 4 of its size or 1,
// and gradients as precise as their terms, for rows of every length about those of vectors; and no element to
// depend on the other rows.
func TestSoftmax(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for c := 1; c <= 50; c++ {
			const rows = 5
			x, dy := random(r, rows*c), random(r, rows*c)
			for i := range x {
				x[i] *= 20
			}
			x[c] = float32(math.Inf(-1)) // of the second row, which is all of it where c is 1
			ar := arena{t: t}
			y, log, dx, dlog := ar.from(x), ar.from(x), ar.from(dy), ar.from(dy)
			kernel.Softmax(y, y, c)
			kernel.LogSoftmax(log, log, c)
			kernel.SoftmaxGrad(dx, dx, y, c)
			kernel.LogSoftmaxGrad(dlog, dlog, log, c)
			ar.check()
			for row := range rows {
				at := row * c
				top, sum, dot, grad := math.Inf(-1), 0., 0., 0.
				for _, v := range x[at : at+c] {
					top = math.Max(top, float64(v))
				}
				for _, v := range x[at : at+c] {
					sum += math.Exp(float64(v) - top)
				}
				size := 0.
				for i := at; i < at+c; i++ {
					dot += math.Exp(float64(x[i])-top) / sum * float64(dy[i])
					grad += float64(dy[i])
					size += math.Abs(float64(dy[i]))
				}
				within := func(what string, i int, got float32, want, bound float64) {
					t.Helper()
					if math.IsNaN(want) && got != got {
						return
					}
					if d := math.Abs(float64(got) - want); !(d <= bound) && float64(got) != want {
						t.Fatalf("%s of %d: element %d of row %d is %v, want %v", what, c, i-at, row, got, want)
					}
				}
				for i := at; i < at+c; i++ {
					p, l := math.Exp(float64(x[i])-top)/sum, float64(x[i])-top-math.Log(sum)
					within("softmax", i, y[i], p, 4*ulp*p+1e-44+4*ulp*p*math.Abs(float64(x[i])-top))
					within("log softmax", i, log[i], l, 4*ulp*max(1, math.Abs(l)))
					within("softmax gradient", i, dx[i], p*(float64(dy[i])-dot), 40*ulp*p*size+1e-44)
					within("log softmax gradient", i, dlog[i], float64(dy[i])-p*grad, 40*ulp*(math.Abs(float64(dy[i]))+p*size))
				}
			}
			single := ar.from(x[2*c : 3*c])
			kernel.Softmax(single, single, c)
			near(t, "a row alone", single, y[2*c:3*c], 0)
			nan := ar.from(x)
			nan[c-1] = float32(math.NaN())
			kernel.Softmax(nan, nan, c)
			lognan := ar.from(x)
			lognan[c-1] = float32(math.NaN())
			kernel.LogSoftmax(lognan, lognan, c)
			for i := range c {
				if nan[i] == nan[i] || lognan[i] == lognan[i] {
					t.Fatalf("row of %d with NaN: element %d is %v and %v", c, i, nan[i], lognan[i])
				}
			}
			if nan[2*c] != y[2*c] {
				t.Fatalf("NaN in a row of %d changes another", c)
			}
		}
	})
}
