//go:build amd64 && !noasm

package kernel

import (
	"math"

	"golang.org/x/sys/cpu"
)

//go:generate go run -C _generate . -tier avx2 -pkg kernel -out ../avx2_amd64.s -stubs ../avx2_amd64.go
//go:generate go run -C _generate . -tier avx512 -pkg kernel -out ../avx512_amd64.s -stubs ../avx512_amd64.go
//go:generate go run -C _generate . -tier low -pkg kernel -out ../lowprecision_amd64.s -stubs ../lowprecision_amd64.go
//go:generate go run -C _generate . -tier avx2-elementwise -pkg kernel -out ../elementwise_avx2_amd64.s -stubs ../elementwise_avx2_amd64.go
//go:generate go run -C _generate . -tier avx512-elementwise -pkg kernel -out ../elementwise_avx512_amd64.s -stubs ../elementwise_avx512_amd64.go

func fastTiers() []Tier {
	var out []Tier
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasBMI2 {
		out = append(out, AVX2)
		if cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512DQ {
			out = append(out, AVX512)
		}
	}
	return out
}

func fastInner(t Tier) (inner, bool) {
	for _, have := range fastTiers() {
		if have != t {
			continue
		}
		if t == AVX2 {
			return inner{
				tile: tileKernel{rows: 6, cols: 16, rowCols: 16, narrow: 8, narrowRows: 12, add: tileAVX2},
				axpy: axpyAVX2,
				add:  func(src, dst []float32) { axpyAVX2(1, src, dst) },
				adam: adamAVX2,

				momentum: momentumAVX2,
				rmsprop:  rmspropAVX2,
				amsgrad:  amsgradAVX2,
				blend:    blendAVX2,

				spans:   spansAVX2,
				collect: collectAVX2,

				pool:    poolAVX2,
				average: averageAVX2,
				unpool:  unpoolAVX2,

				survive:     portableSurvive,
				collectCube: collectCubeAVX2,

				list:   portableList,
				voxels: voxelsAVX2,
				outer:  outerAVX2,

				respond: respondAVX2,

				gather: gatherAVX2,
				stream: streamAVX2,
				fence:  fence,

				depthwise:        depthwiseAVX2,
				depthwiseWeights: depthwiseWeightsAVX2,

				winograd2:    assembled(8, &portable.winograd2, filterWeights2x2, winogradInput2x2, winogradOutput2x2, nil, nil),
				winograd4:    assembled(8, &portable.winograd4, filterWeights4x2, winogradInput4x2, winogradOutput4x2, winogradSpread4x2, foldWeights4x2),
				winograd4of2: assembled(8, &portable.winograd4of2, filterWeights4of2x2, winogradInput4of2x2, winogradOutput4of2x2, winogradSpread4of2x2, foldWeights4of2x2),
				winograd2of5: assembled(8, &portable.winograd2of5, filterWeights2of5x2, winogradInput4x2, winogradOutput2of5x2, winogradSpread2of5x2, foldWeights2of5x2),

				dropout: dropoutAVX2,
				keep:    keepAVX2,
				rectify: rectifyAVX2,

				rectifyGrad: rectifyGradAVX2,

				activations: activations2,
				prelu:       preluAVX2,
				preluGrad:   preluGradAVX2,

				softmax:        along(softmax2),
				logSoftmax:     along(logSoftmax2),
				softmaxGrad:    alongGrad(softmaxGrad2),
				logSoftmaxGrad: alongGrad(logSoftmaxGrad2),
				layerNorm:      layerNormAVX2,
				layerNormGrad:  layerNormGradAVX2,

				sums:       sumsAVX2,
				maxima:     maximaAVX2,
				squares:    squaresAVX2,
				scaleShift: scaleShiftAVX2,
				gradSums:   gradSumsAVX2,
				combine:    combineAVX2,

				lowPrecision: lowPrecisionAVX2(),
			}, true
		}
		return inner{
			tile: tileKernel{rows: 14, cols: 32, rowCols: 32, add: tileAVX512},
			axpy: axpyAVX512,
			add:  func(src, dst []float32) { axpyAVX512(1, src, dst) },
			adam: adamAVX512,

			momentum: momentumAVX512,
			rmsprop:  rmspropAVX512,
			amsgrad:  amsgradAVX512,
			blend:    blendAVX512,

			spans:   spansAVX512,
			collect: collectAVX512,

			pool:    poolAVX512,
			average: averageAVX512,
			unpool:  unpoolAVX512,

			survive:     surviveAVX512,
			collectCube: collectCubeAVX512,

			list:   listAVX512,
			voxels: voxelsAVX512,
			outer:  outerAVX512,

			respond: respondAVX512,

			gather: gatherAVX512,
			stream: streamAVX512,
			fence:  fence,

			depthwise:        depthwise512.run,
			depthwiseWeights: depthwiseWeights512.run,

			winograd2:    assembled(1, &portable.winograd2, filterWeights2x512, winogradInput2x512, winogradOutput2x512, nil, nil),
			winograd4:    assembled(1, &portable.winograd4, filterWeights4x512, winogradInput4x512, winogradOutput4x512, winogradSpread4x512, foldWeights4x512),
			winograd4of2: assembled(1, &portable.winograd4of2, filterWeights4of2x512, winogradInput4of2x512, winogradOutput4of2x512, winogradSpread4of2x512, foldWeights4of2x512),
			winograd2of5: assembled(1, &portable.winograd2of5, filterWeights2of5x512, winogradInput4x512, winogradOutput2of5x512, winogradSpread2of5x512, foldWeights2of5x512),

			dropout: dropoutAVX512,
			keep:    keepAVX512,
			rectify: rectifyAVX512,

			rectifyGrad: rectifyGradAVX512,

			activations: activations512,
			prelu:       preluAVX512,
			preluGrad:   preluGradAVX512,

			softmax:        along(softmax512),
			logSoftmax:     along(logSoftmax512),
			softmaxGrad:    alongGrad(softmaxGrad512),
			logSoftmaxGrad: alongGrad(logSoftmaxGrad512),
			layerNorm:      layerNormAVX512,
			layerNormGrad:  layerNormGradAVX512,

			sums:       sumsAVX512,
			maxima:     maximaAVX512,
			squares:    squaresAVX512,
			scaleShift: scaleShiftAVX512,
			gradSums:   gradSumsAVX512,
			combine:    combineAVX512,

			lowPrecision: lowPrecisionAVX512(),
		}, true
	}
	return inner{}, false
}

// distances are what the tiles in assembly move on by after a tile, in bytes from where its last row or stretch ends.
type distances struct{ a, b, c, from int }

func (w *walk) distances(rows, k, acs, ldb, ldc, ldf int) distances {
	return distances{4 * (w.nextA - w.times*(k*acs+w.a)), -4 * w.times * (k*ldb + w.b), 4 * (w.nextC - (rows-1)*ldc), 4 * (w.nextFrom - (rows-1)*ldf)}
}

// floor is the least value that pooling gives.
func floor(relu bool) float32 {
	if relu {
		return 0
	}
	return float32(math.Inf(-1))
}
