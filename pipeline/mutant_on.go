//go:build mutant

package pipeline

const mutantCommitsHighest = true
