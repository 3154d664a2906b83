package classify

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/voxelstream/voxelstream/internal/vector"
	"github.com/voxelstream/voxelstream/nn"
)

// Judge says how far the outputs of a network can be trusted, by the model's metadata (see [nn.Trust]): it calibrates
// scores and recognizes volumes that are unlike the training data. It must not be used concurrently.
type Judge struct {
	trust    nn.Trust
	input    *Input
	scores   []float32
	features []float64
}

// NewJudge returns the judge of a model that outputs probabilities (see [Scored]) and takes the volumes of in. An
// energy of other features than those of this version is ignored.
func NewJudge(m *nn.Model, in *Input) *Judge {
	j := &Judge{trust: m.Trust, input: in}
	if e := j.trust.Energy; e != nil && len(e.Mean) != Features {
		j.trust.Energy = nil
	}
	return j
}

// NeedsLogits reports whether rows need their logits.
func (j *Judge) NeedsLogits() bool { return j.trust != nn.Trust{} }

// Row is a volume as the network takes it, and what it gives.
type Row struct {
	// Index or X is the row of the network's input: palette indices, or values in its order of axes.
	Index []uint8
	X     []float32
	// Scores is the output: probabilities, of the second class alone if there are two classes and the network ends in
	// a sigmoid. Logits is the input of the activation that the network ends in, or nil if it ends in something else.
	Scores, Logits []float32
}

// AllLogits appends the logits of all classes: those of the row, or others that give the same scores.
func (r *Row) AllLogits(dst []float32) []float32 {
	switch {
	case len(r.Logits) == 1:
		return append(dst, 0, r.Logits[0])
	case r.Logits != nil:
		return append(dst, r.Logits...)
	}
	for _, p := range bothClasses(r.Scores) {
		dst = append(dst, float32(math.Log(max(float64(p), math.SmallestNonzeroFloat32))))
	}
	return dst
}

// bothClasses returns the scores of two classes for that of the second one, and others unchanged.
func bothClasses(scores []float32) []float32 {
	if len(scores) == 1 {
		return []float32{1 - scores[0], scores[0]}
	}
	return scores
}

// Scores returns the scores of all classes, calibrated if the model has a temperature. The result is valid until the
// next call.
func (j *Judge) Scores(r Row) []float32 {
	if j.trust.Temperature == 0 {
		return bothClasses(r.Scores)
	}
	j.scores = r.AllLogits(j.scores[:0])
	j.trust.Scores(j.scores, j.scores)
	return j.scores
}

// Energy returns the energy of a volume, and whether it is above the threshold. It is nil if the model has none.
func (j *Judge) Energy(r Row) (energy *float32, unfamiliar bool) {
	if j.trust.Energy == nil {
		return nil, false
	}
	j.features = j.input.AppendFeatures(j.features[:0], r)
	e := j.trust.Energy.Of(j.features)
	return &e, e > j.trust.Energy.Threshold
}

const (
	lags = 2
	// Features is the number of features of a volume; see [Input.AppendFeatures].
	Features = 3 + 3*lags + 1
)

// AppendFeatures appends the features of a volume from which its energy follows: the mean of its values, the mean of
// their squares, the share of those that are not 0, the mean products of values that are one and two cells apart along
// each axis, and the energy of the logits (Liu et al. 2020). Those of the values are on a logarithmic scale. Palette
// indices count as their position in the palette, from 0 to 1.
func (in *Input) AppendFeatures(dst []float64, r Row) []float64 {
	if r.Index != nil {
		total, occupied := countBytes(r.Index)
		dst = appendMoments(dst, r.Index, total, occupied, in.Dims, 1, false, 1./255, laggedBytes)
	} else {
		total, occupied := countFloats(r.X)
		dst = appendMoments(dst, r.X, total, occupied, in.Dims, in.Channels, in.first, 1, laggedFloats)
	}
	var room [16]float32
	z := r.AllLogits(room[:0])
	highest, sum := math.Inf(-1), 0.
	for _, v := range z {
		highest = max(highest, float64(v))
	}
	for _, v := range z {
		sum += math.Exp(float64(v) - highest)
	}
	return append(dst, -highest-math.Log(sum))
}

// countBytes returns the sum of bytes, and the number of those that are not 0.
func countBytes(x []uint8) (total float64, occupied int) {
	const even, low, high = 0x00ff00ff00ff00ff, 0x7f7f7f7f7f7f7f7f, 0x8080808080808080
	sum := uint64(0)
	for ; len(x) >= 8; x = x[8:] {
		w := binary.LittleEndian.Uint64(x)
		if w == 0 {
			continue
		}
		pairs := w&even + w>>8&even
		sum += pairs * 0x0001000100010001 >> 48
		occupied += bits.OnesCount64((w&low + low | w) & high)
	}
	for _, v := range x {
		if sum += uint64(v); v != 0 {
			occupied++
		}
	}
	return float64(sum), occupied
}

func countFloats(x []float32) (total float64, occupied int) {
	for _, v := range x {
		if v != 0 {
			total += float64(v)
			occupied++
		}
	}
	return total, occupied
}

// appendMoments appends the features of values, which are multiplied by unit, from their sum and the number of those that
// are not 0. lagged returns the sum of the products of values that are lag apart in lines of a length. Those that are 0
// apart are the values themselves.
func appendMoments[T uint8 | float32](dst []float64, x []T, total float64, occupied int, dims [3]int, channels int,
	first bool, unit float64, lagged func(x []T, line, lag int) float64,
) []float64 {
	n := float64(len(x))
	squares := lagged(x, len(x), 0)
	dst = append(dst, logarithmic(total*unit/n), logarithmic(squares*unit*unit/n), logarithmic(float64(occupied)/n))
	step := 1 // from a value to its neighbour along the axis
	if !first {
		step = channels
	}
	for axis := 2; axis >= 0; axis-- {
		line := step * dims[axis]
		for lag := 1; lag <= lags; lag++ {
			sum := 0.
			if lag < dims[axis] {
				sum = lagged(x, line, lag*step)
			}
			dst = append(dst, logarithmic(sum*unit*unit/n))
		}
		step = line
	}
	return dst
}

// logarithmic is logarithmic for values well above 0.001, and linear below.
func logarithmic(x float64) float64 { return math.Copysign(math.Log1p(math.Abs(x)/1e-3), x) }

func laggedFloats(x []float32, line, lag int) (sum float64) {
	for at := 0; at < len(x); at += line {
		ofLine := 0.
		for i, v := range x[at : at+line-lag] {
			ofLine += float64(v) * float64(x[at+lag+i])
		}
		sum += ofLine
	}
	return sum
}

// laggedBytes multiplies across the ends of lines too, and takes these products away again: sums of bytes are exact.
func laggedBytes(x []uint8, line, lag int) float64 {
	sum := vector.Dot(x[:len(x)-lag], x[lag:])
	for at := line; at < len(x); at += line {
		for i := at - lag; i < at; i++ {
			sum -= uint64(x[i]) * uint64(x[i+lag])
		}
	}
	return float64(sum)
}
