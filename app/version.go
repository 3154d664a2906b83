package app

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"text/tabwriter"

	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/nn"
)

// Version is the release; Commit is set by the build (-ldflags -X).
const Version = "0.1.0"

// Commit is the revision that the binary was built from. Where the build did not set it, Go's own build information is asked.
var Commit = ""

// Build is what version shows.
type Build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	HDF5    string `json:"hdf5"` // empty: built without
	Tier    string `json:"tier"`
}

func build() Build {
	b := Build{Version: Version, Commit: Commit, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, HDF5: h5.LibraryVersion(), Tier: nn.Tier()}
	if info, ok := debug.ReadBuildInfo(); ok && b.Commit == "" {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Commit = s.Value
			}
		}
	}
	if b.Commit == "" {
		b.Commit = "unknown"
	}
	return b
}

// ShowVersion shows the version, the commit, and what the binary was built with.
func (a *Env) ShowVersion() error {
	b := build()
	return a.Print(b, func(w io.Writer) {
		hdf5 := b.HDF5
		if hdf5 == "" {
			hdf5 = "built without"
		}
		fmt.Fprintf(w, "voxelstream %s\ncommit  %s\ngo      %s %s/%s\nhdf5    %s\nkernels %s\n", b.Version, b.Commit, b.Go, b.OS, b.Arch, hdf5, b.Tier)
	})
}

// ConfigPrint shows every key with its effective value and where that came from.
func (a *Env) ConfigPrint() error {
	settings := a.Config.Settings()
	return a.Print(settings, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
		fmt.Fprintln(t, "KEY\tVALUE\tFROM")
		for _, s := range settings {
			fmt.Fprintf(t, "%s\t%s\t%s\n", s.Key, s.Text, s.Origin)
		}
		t.Flush()
	})
}

// ConfigLint checks a file together with environment and flags and says everything that is wrong at once. It needs no App: there is no valid
// configuration yet.
func ConfigLint(w io.Writer, path string, environ []string, overrides []config.Override, asJSON bool) error {
	_, err := config.Load(path, environ, overrides)
	var bad *config.Error
	if err != nil && !errors.As(err, &bad) {
		return err
	}
	a := &Env{Out: w, JSON: asJSON}
	problems := []string{}
	if bad != nil {
		for _, p := range bad.Problems {
			problems = append(problems, p.Error())
		}
	}
	if perr := a.Print(struct {
		File     string   `json:"file"`
		Problems []string `json:"problems"`
	}{path, problems}, func(w io.Writer) {
		for _, p := range problems {
			fmt.Fprintln(w, p)
		}
		if len(problems) == 0 {
			fmt.Fprintln(w, "no problems")
		}
	}); perr != nil {
		return perr
	}
	if len(problems) > 0 {
		return Usage(fmt.Errorf("%d problems", len(problems)))
	}
	return nil
}
