// Package testenv finds what tests need outside the checkout.
package testenv

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Patience is how long a test waits for what takes a moment on a machine with nothing else to do. It is long enough
// for machines that are slow or busy: only what hangs reaches it.
const Patience = 10 * time.Minute

// Root is the repository's root folder: that of go.mod, above the folder in which the test began.
func Root() string { return root }

// root is found before a test changes the working folder. The path in the program would not do, because a reproducible
// build has none.
var root = func() string {
	start, err := os.Getwd()
	if err != nil {
		return "."
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return start
		}
	}
}()

// Samples is the folder of sample files: VOXELSTREAM_SAMPLES, or shared/samples beside the checkout. ok is false where
// there is none.
func Samples() (dir string, ok bool) { return beside("VOXELSTREAM_SAMPLES", "samples") }

// Cases is the folder of inputs that were once read wrongly: VOXELSTREAM_CASES, or shared/cases beside the checkout.
// ok is false where there is none.
func Cases() (dir string, ok bool) { return beside("VOXELSTREAM_CASES", "cases") }

// beside is the folder that a variable names, or a folder of shared/ beside the checkout.
func beside(variable, name string) (dir string, ok bool) {
	dir = os.Getenv(variable)
	if dir == "" {
		dir = filepath.Join(filepath.Dir(Root()), "shared", name)
	}
	info, err := os.Stat(dir)
	return dir, err == nil && info.IsDir()
}

// Sample is the path of one sample file, name being relative to the samples folder. Without the file the test is
// skipped.
func Sample(tb testing.TB, name string) string {
	tb.Helper()
	dir, _ := Samples()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		tb.Skipf("sample file %s is not here: put the samples folder beside the checkout or set VOXELSTREAM_SAMPLES", name)
	}
	return path
}
