//go:build !race && !msan && !asan

package h5

// instrumented means that this build reserves more address space than any limit would allow.
const instrumented = false
