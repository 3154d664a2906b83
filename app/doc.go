// Package app is the one place that knows every package: it holds the [Config], loads it, and builds from it what each command runs. The
// commands themselves (flags, exit codes) are in cmd/voxelstream; each function here that carries one out is named after it.
package app
