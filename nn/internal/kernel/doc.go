// Package kernel holds the arithmetic of the network: loops over plain slices that know nothing of graphs, layers
// or threads.
//
// Arrays are dense and row-major with channels last: activations [N,D,H,W,C], convolution weights
// [KD,KH,KW,In,Out], dense weights [In,Out]. A kernel works on a range of samples, rows or channels that the caller
// chooses; calls on disjoint ranges may run at the same time, and what each writes depends on its range alone. Sums
// over samples are taken in a fixed order, so results do not depend on the number of threads.
//
// Shapes are checked when a plan is built. Here a wrong length is a programming error and panics.
//
// Innermost loops exist in up to three tiers, chosen once at start (see Tier): portable Go, AVX2 with FMA, AVX-512.
// Tiers differ in rounding, since they add in other orders and fuse multiply with add. Package reference has the
// plain loop for each kernel.
package kernel
