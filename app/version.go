package app

import (
	"cmp"
	"runtime"
	"runtime/debug"

	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/nn"
)

// Version is the release that the source leads to. Packages of commits without a tag set it to a version before that
// release (-ldflags -X).
var Version = "0.1.0"

// Commit is the revision that the binary was built from. If the build did not set it, [ReadBuild] uses Go's build
// information.
var Commit = ""

// Build describes the build of a binary.
type Build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	HDF5    string `json:"hdf5"` // empty if built without HDF5
	Tier    string `json:"tier"`
}

// ReadBuild describes this binary.
func ReadBuild() *Build {
	b := &Build{
		Version: Version, Commit: Commit, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
		HDF5: h5.LibraryVersion(), Tier: nn.Tier(),
	}
	if info, ok := debug.ReadBuildInfo(); ok && b.Commit == "" {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Commit = s.Value
			}
		}
		// After go install PATH@VERSION: the tag, or a version that contains the commit.
		if b.Commit == "" && info.Main.Version != "(devel)" {
			b.Commit = info.Main.Version
		}
	}
	b.Commit = cmp.Or(b.Commit, "unknown")
	return b
}
