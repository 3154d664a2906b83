package onnx

import "slices"

// operator describes how one kind of node is read.
type operator struct {
	inputs int // minimum number of inputs
	values int // number of leading inputs that a layer takes as computed rather than constant
	// layer reads the node as a layer, for samples of floats; nil if there is none. After an error it is read by
	// tensor.
	layer func(o *operation) (*value, error)
	// tensor reads the node as operations on arrays of any shape; nil if there are none.
	tensor func(o *operation) ([]*array, error)
}

// operators lists all supported operators by their ONNX name.
var operators map[string]operator

// Operators returns the names of all operators that are read, sorted.
func Operators() []string {
	var names []string
	for name := range operators {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func init() { // in init, because a composite literal would refer to itself
	operators = map[string]operator{
		"Abs":                   {1, 1, absolute, each(named)},
		"Add":                   {2, 0, sum, combine},
		"ArgMax":                {1, 1, nil, reduceArray},
		"ArgMin":                {1, 1, nil, reduceArray},
		"AveragePool":           {1, 1, pool, lifted},
		"BatchNormalization":    {5, 1, batchNormalization, normArray},
		"Cast":                  {1, 1, nil, cast},
		"CastLike":              {2, 1, nil, cast},
		"Celu":                  {1, 1, celu, each(celuCurve)},
		"Clip":                  {1, 1, clip, each(clipCurve)},
		"Concat":                {1, 1, concat, joined},
		"Constant":              {0, 0, nil, constant},
		"ConstantOfShape":       {1, 0, nil, filled},
		"Conv":                  {2, 1, convolution, lifted},
		"ConvInteger":           {2, 1, nil, integerProduct},
		"ConvTranspose":         {2, 1, transposedConvolution, lifted},
		"CumSum":                {2, 1, nil, cumSum},
		"DepthToSpace":          {1, 1, nil, depthToSpace},
		"DequantizeLinear":      {2, 1, nil, dequantizeLinear},
		"Div":                   {2, 1, quotient, combine},
		"Dropout":               {1, 1, dropout, dropped},
		"DynamicQuantizeLinear": {1, 1, nil, dynamicQuantizeLinear},
		"Einsum":                {1, 0, nil, einsum},
		"Elu":                   {1, 1, elu, each(standard("elu"))},
		"Erf":                   {1, 1, errorFunction, each(named)},
		"Exp":                   {1, 1, function("exponential"), each(named)},
		"Expand":                {2, 0, nil, expand},
		"Flatten":               {1, 1, nil, flattened},
		"Gather":                {2, 0, nil, gather},
		"GatherElements":        {2, 0, nil, gatherElements},
		"Gelu":                  {1, 1, gelu, each(geluCurve)},
		"Gemm":                  {2, 1, gemm, gemmArray},
		"GlobalAveragePool":     {1, 1, globalVolume, globalArray},
		"GlobalMaxPool":         {1, 1, globalVolume, globalArray},
		"GroupNormalization":    {3, 1, groupNormalization, normArray},
		"HardSigmoid":           {1, 1, hardSigmoid, each(hardSigmoidCurve)},
		"HardSwish":             {1, 1, function("hard_silu"), each(standard("hard_silu"))},
		"Identity":              {1, 0, same, unchanged},
		"InstanceNormalization": {3, 1, groupNormalization, normArray},
		"IsInf":                 {1, 0, nil, each(isInf)},
		"LayerNormalization":    {2, 1, layerNormalization, layerNormArray},
		"LeakyRelu":             {1, 1, leakyReLU, each(standard("leaky_relu"))},
		"LogSoftmax":            {1, 1, softmax, softmaxArray},
		"LpPool":                {1, 1, pool, lifted},
		"MatMul":                {2, 1, matMul, matMulArray},
		"MatMulInteger":         {2, 0, nil, integerProduct},
		"Max":                   {1, 2, merge("Maximum"), combine},
		"MaxPool":               {1, 1, pool, lifted},
		"Mean":                  {1, 2, merge("Average"), combine},
		"Min":                   {1, 2, merge("Minimum"), combine},
		"Mish":                  {1, 1, function("mish"), each(standard("mish"))},
		"Mod":                   {2, 0, nil, mod},
		"Mul":                   {2, 0, product, combine},
		"PRelu":                 {2, 1, prelu, combine},
		"Pad":                   {1, 0, pad, padArray},
		"QLinearConv":           {8, 0, nil, quantizedProduct},
		"QLinearMatMul":         {8, 0, nil, quantizedProduct},
		"QuantizeLinear":        {2, 0, nil, quantizeLinear},
		"RMSNormalization":      {2, 0, nil, layerNormArray},
		"Range":                 {3, 0, nil, numbered},
		"Relu":                  {1, 1, function("relu"), each(standard("relu"))},
		"Reshape":               {1, 1, reshape, reshapeArray},
		"Resize":                {1, 1, resize, resizeArray},
		"Selu":                  {1, 1, selu, each(seluCurve)},
		"Shape":                 {1, 0, nil, shapeOf},
		"Shrink":                {1, 0, nil, each(shrink)},
		"Sigmoid":               {1, 1, function("sigmoid"), each(standard("sigmoid"))},
		"Size":                  {1, 0, nil, sizeOf},
		"Slice":                 {1, 1, slice, sliced},
		"Softmax":               {1, 1, softmax, softmaxArray},
		"Softplus":              {1, 1, softplus, each(standard("softplus"))},
		"Softsign":              {1, 1, function("softsign"), each(standard("softsign"))},
		"SpaceToDepth":          {1, 0, nil, spaceToDepth},
		"Split":                 {1, 0, nil, split},
		"Squeeze":               {1, 0, nil, squeezed},
		"Sub":                   {2, 0, difference, combine},
		"Sum":                   {1, 2, merge("Add"), combine},
		"Swish":                 {1, 0, nil, each(swish)},
		"Tanh":                  {1, 1, function("tanh"), each(standard("tanh"))},
		"ThresholdedRelu":       {1, 0, nil, each(thresholdedReLU)},
		"Tile":                  {2, 0, nil, tile},
		"Transpose":             {1, 1, transpose, transposeArray},
		"Trilu":                 {1, 0, nil, triangle},
		"Unsqueeze":             {1, 0, nil, unsqueezed},
		"Upsample":              {1, 1, resize, resizeArray},
		"Where":                 {3, 0, nil, combine},
	}
	for name := range curves {
		if _, ok := operators[name]; !ok {
			operators[name] = operator{1, 0, nil, each(named)}
		}
	}
	for name := range combinations {
		if _, ok := operators[name]; !ok {
			operators[name] = operator{2, 0, nil, combine}
		}
	}
	for name := range reductions {
		if _, ok := operators[name]; !ok {
			operators[name] = operator{1, 0, nil, reduceArray}
		}
	}
	for _, name := range []string{"ReduceMax", "ReduceMean"} {
		operators[name] = operator{1, 1, reduceVolume, reduceArray}
	}
}

func same(o *operation) (*value, error) { return o.in[0], nil }
