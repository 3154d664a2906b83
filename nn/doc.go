// Package nn is a library of neural networks over volumes, after Keras: layers with its names, options, defaults
// and weight layouts, and models that come from it and go back to it. It imports nothing of Voxelstream.
//
// Arrays are float32, dense and row-major, [N,D,H,W,C] with the channels last; a [Shape] leaves out the batch N.
//
// A [Model] is a graph of layers (package layers) with their parameters. [Model.Compile] lowers it to a [Plan] for
// one batch size: each layer gives reference operations (internal/op), passes (internal/pass) rewrite them into
// faster ones that compute the same, and all memory is planned once. Package train fits a model to data, zoo has
// known architectures, format reads and writes model files.
//
// # A new layer
//
// One file in package layers: a struct that embeds [LayerBase], with Class, Config, Build and Lower, a constructor
// from Keras's attributes, and its line in layers.Classes. Where no operation computes it yet, one file in
// internal/op, with forward and backward as plain generic loops. The suite of package layers asks for a case of
// each class: nntest.CheckGradients compares its gradients with central differences in float64, and the golden file
// of the same case compares it with Keras.
//
// # A new pass
//
// One file in internal/pass that finds a pattern of operations and replaces it, and its line in pass.All. The suite
// compares every model with and without it.
package nn
