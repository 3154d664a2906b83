// Package nn is a library of neural networks over volumes, modelled on Keras: layers have its names, options,
// defaults and weight layouts, and models can be imported from it and exported to it. Apart from internal/h5 it
// does not depend on the rest of Voxelstream.
//
// Arrays are float32, dense and row-major, [N,D,H,W,C] with the channels last; a [Shape] leaves out the batch N.
//
// A [Model] is a graph of layers (package layers) with their parameters. [Model.Compile] lowers it to a [Plan] for
// one batch size: each layer emits reference operations (internal/op), passes (internal/pass) rewrite them into
// faster equivalents, and all memory is planned once. Package train fits a model to data, zoo builds known
// architectures, and format reads and writes model files.
//
// # A new layer
//
// Add one file to package layers: a struct that embeds [LayerBase] with methods Class, Config, Build and Lower, a
// constructor from Keras attributes, and a line in layers.Classes. If no existing operation computes it, add one
// file to internal/op, with the forward and backward computation as plain generic loops. The tests of package
// layers require a case for each class: nntest.CheckGradients compares its gradients with central differences in
// float64, and the golden file of the case compares its output with Keras. A layer that Keras does not have is added to
// python/voxelstream_layers.py, with which Keras reads the files, and to format/internal/config/ours.go.
//
// # A new pass
//
// Add one file to internal/pass that finds a pattern of operations and replaces it, and a line in pass.All. The
// tests compare every model with and without the pass.
package nn
