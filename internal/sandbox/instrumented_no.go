//go:build !race && !msan && !asan

package sandbox

// Instrumented means that this build reserves more address space than any limit would allow.
const Instrumented = false
