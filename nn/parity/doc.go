// Package parity holds tests that compare the network library with others on random models; it has no code of its
// own. They need a Python with the others installed, in VOXELSTREAM_PYTHON, and one with PyTorch in
// VOXELSTREAM_TORCH; `make parity` installs them.
package parity
