//go:build unix && nohdf5

package integration

var buildTags = []string{"nohdf5"}
