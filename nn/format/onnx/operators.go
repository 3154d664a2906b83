package onnx

// operator describes how one kind of node is read.
type operator struct {
	inputs int // minimum number of inputs
	values int // number of leading inputs that are computed rather than constant
	make   func(o *operation) (*value, error)
}

// operators lists all supported operators by their ONNX name.
var operators map[string]operator

func init() { // in init, because a composite literal would refer to itself
	operators = map[string]operator{
		"Abs":                   {1, 1, absolute},
		"Add":                   {2, 0, sum},
		"AveragePool":           {1, 1, func(o *operation) (*value, error) { return pool(o, true) }},
		"BatchNormalization":    {5, 1, batchNormalization},
		"Celu":                  {1, 1, celu},
		"Clip":                  {1, 1, clip},
		"Concat":                {1, 1, concat},
		"Conv":                  {2, 1, convolution},
		"ConvTranspose":         {2, 1, transposedConvolution},
		"Div":                   {2, 1, quotient},
		"Dropout":               {1, 1, dropout},
		"Elu":                   {1, 1, elu},
		"Erf":                   {1, 1, errorFunction},
		"Exp":                   {1, 1, function("exponential")},
		"Flatten":               {1, 1, flatten},
		"Gelu":                  {1, 1, gelu},
		"Gemm":                  {2, 1, gemm},
		"GlobalAveragePool":     {1, 1, func(o *operation) (*value, error) { return globalPool(o, true, true) }},
		"GlobalMaxPool":         {1, 1, func(o *operation) (*value, error) { return globalPool(o, false, true) }},
		"GroupNormalization":    {3, 1, groupNormalization},
		"HardSigmoid":           {1, 1, hardSigmoid},
		"HardSwish":             {1, 1, function("hard_silu")},
		"Identity":              {1, 1, same},
		"InstanceNormalization": {3, 1, groupNormalization},
		"LayerNormalization":    {2, 1, layerNormalization},
		"LeakyRelu":             {1, 1, leakyReLU},
		"LogSoftmax":            {1, 1, softmax},
		"MatMul":                {2, 1, matMul},
		"Max":                   {2, 2, merge("Maximum")},
		"MaxPool":               {1, 1, func(o *operation) (*value, error) { return pool(o, false) }},
		"Mean":                  {2, 2, merge("Average")},
		"Min":                   {2, 2, merge("Minimum")},
		"Mish":                  {1, 1, function("mish")},
		"Mul":                   {2, 0, product},
		"PRelu":                 {2, 1, prelu},
		"Pad":                   {1, 1, pad},
		"ReduceMax":             {1, 1, func(o *operation) (*value, error) { return reduce(o, false) }},
		"ReduceMean":            {1, 1, func(o *operation) (*value, error) { return reduce(o, true) }},
		"Relu":                  {1, 1, function("relu")},
		"Reshape":               {2, 1, reshape},
		"Resize":                {1, 1, resize},
		"Selu":                  {1, 1, selu},
		"Sigmoid":               {1, 1, function("sigmoid")},
		"Slice":                 {1, 1, slice},
		"Softmax":               {1, 1, softmax},
		"Softplus":              {1, 1, softplus},
		"Softsign":              {1, 1, function("softsign")},
		"Squeeze":               {1, 1, squeeze},
		"Sub":                   {2, 0, difference},
		"Tanh":                  {1, 1, function("tanh")},
		"Transpose":             {1, 1, transpose},
		"Unsqueeze":             {1, 1, unsqueeze},
	}
}

func same(o *operation) (*value, error) { return o.in[0], nil }
