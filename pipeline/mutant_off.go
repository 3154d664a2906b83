//go:build !mutant

package pipeline

// mutantCommitsHighest is the control of the kill -9 test: a build with the tag "mutant" commits the highest settled
// offset, which loses what is in flight below it, and the test must notice.
const mutantCommitsHighest = false
