//go:build unix && !nohdf5

package integration

// buildTags are those of this test binary, so that the real one is built alike.
var buildTags []string
