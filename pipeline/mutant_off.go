//go:build !mutant

package pipeline

// mutantCommitsHighest is a deliberate bug for the kill -9 test. A build with the tag "mutant" commits the highest
// settled offset, which loses what is in flight below it. The test must fail for that build.
const mutantCommitsHighest = false
