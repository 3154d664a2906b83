// Package testenv finds what tests need outside the checkout.
package testenv

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Root is the repository's root folder.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

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
