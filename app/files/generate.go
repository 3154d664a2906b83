package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/dataset/mnist3d"
	"github.com/voxelstream/voxelstream/ingest/simulate"
)

// GenerateOptions describes the archive to generate.
type GenerateOptions struct {
	// Digits and Labels are IDX files of MNIST. If both are empty, digits are drawn.
	Digits, Labels string
	// First and Count select digits, in file order. A Count of 0 selects the whole file, and is invalid for drawn
	// digits.
	First, Count int
	// Test is the number of digits, taken from the end, for the test part.
	Test    int
	Augment bool
	Grid    int
	Layout  string
	Out     string
}

// GenerateSummary is the result of generate.
type GenerateSummary struct {
	File    string  `json:"file"`
	Layout  string  `json:"layout"`
	Train   int     `json:"train"`
	Test    int     `json:"test"`
	Grid    int     `json:"grid"`
	Seed    uint64  `json:"seed"`
	Seconds float64 `json:"seconds"`
}

// archiveExtensions are the names of HDF5 files, the format of archives.
var archiveExtensions = []string{".h5", ".hdf5"}

// Generate writes an archive of labelled 3D digits.
func Generate(ctx context.Context, a *app.Env, g GenerateOptions) (_ *GenerateSummary, err error) {
	o := mnist3d.Options{Test: g.Test, Augment: g.Augment, Grid: g.Grid, Seed: a.Config.Seed, Workers: a.Threads()}
	if err := checkArchive(g.Out); err != nil {
		return nil, err
	}
	switch {
	case (g.Digits == "") != (g.Labels == ""):
		return nil, app.Usage(errors.New("--digits and --labels must be given together"))
	case g.Digits != "":
		if o.Digits, err = mnist3d.OpenIDX(g.Digits, g.Labels, g.First, g.Count); err != nil {
			return nil, err
		}
	default:
		o.First, o.Count = g.First, g.Count
	}
	if mnist3d.Layout(g.Layout) == mnist3d.Clouds {
		o.Grid = 0
	}
	if err := o.Validate(); err != nil {
		return nil, app.Usage(err)
	}
	release, err := a.ClaimOutputs([]string{g.Digits, g.Labels}, g.Out)
	if err != nil {
		return nil, err
	}
	defer release()
	start := time.Now()
	archive, err := mnist3d.CreateArchive(g.Out, mnist3d.Layout(g.Layout), o)
	if err != nil {
		return nil, err
	}
	train, test := o.Rows()
	bar := a.Bar("rows")
	defer bar.Done()
	done := int64(0)
	if err := mnist3d.Generate(ctx, o, func(r mnist3d.Row) error {
		done++
		bar.Set(done, int64(train+test), "")
		return archive.Write(r)
	}); err != nil {
		archive.Abort()
		return nil, err
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return &GenerateSummary{
		File: g.Out, Layout: g.Layout, Train: train, Test: test, Grid: o.Grid, Seed: a.Config.Seed,
		Seconds: time.Since(start).Seconds(),
	}, nil
}

// RecordOptions describes a recording of a simulated scene.
type RecordOptions struct {
	// Scene is the name of a scene that has a ground truth, and Sensor that of a lidar, or kinect. If Sensor is empty,
	// it is kinect for the scene indoors and hdl64 for others.
	Scene, Sensor string
	// Count is the number of scans or frames. 0 means 10.
	Count int
	// Out is the folder to write.
	Out string
}

// RecordSummary is the result of generate for a scene.
type RecordSummary struct {
	Folder  string  `json:"folder"`
	Scene   string  `json:"scene"`
	Sensor  string  `json:"sensor"`
	Scans   int     `json:"scans"`
	Points  int     `json:"points"`
	Objects int     `json:"objects"` // in all scans
	Seed    uint64  `json:"seed"`
	Seconds float64 `json:"seconds"`
}

// depthSensor is the name of the depth camera.
const depthSensor = "kinect"

// Record writes what a sensor sees of a simulated scene, with the ground truth.
func Record(ctx context.Context, a *app.Env, o RecordOptions) (*RecordSummary, error) {
	scene, err := simulate.NamedScene(o.Scene, a.Config.Seed)
	if err != nil {
		return nil, app.Usage(err)
	}
	world, ok := scene.(*simulate.World)
	switch {
	case !ok:
		return nil, app.Usage(fmt.Errorf("scene %s has no objects, want one such as street or indoors", o.Scene))
	case o.Out == "":
		return nil, app.Usage(errors.New("missing --out DIR, the folder to write"))
	case o.Count < 0:
		return nil, app.Usage(fmt.Errorf("--count: found %d, want at least 1", o.Count))
	case o.Count == 0:
		o.Count = 10
	}
	if o.Sensor == "" {
		if o.Sensor = "hdl64"; o.Scene == "indoors" {
			o.Sensor = depthSensor
		}
	}
	var l simulate.Lidar
	if o.Sensor != depthSensor {
		if l, err = simulate.FindLidar(o.Sensor); err != nil {
			return nil, app.Usage(fmt.Errorf("--sensor: %w, %s", err, depthSensor))
		}
	}
	if err := os.MkdirAll(o.Out, 0o777); err != nil {
		return nil, err
	}
	release, err := a.ClaimOutputs(nil, filepath.Join(o.Out, "truth.jsonl"))
	if err != nil {
		return nil, err
	}
	defer release()
	start := time.Now()
	s := &RecordSummary{Folder: o.Out, Scene: o.Scene, Sensor: o.Sensor, Seed: a.Config.Seed}
	bar := a.Bar("scans")
	defer bar.Done()
	written := func(t *simulate.Truth) {
		s.Scans++
		s.Points += len(t.Class)
		s.Objects += len(t.Objects)
		bar.Set(int64(s.Scans), int64(o.Count), "")
	}
	if o.Sensor == depthSensor {
		err = simulate.WriteFrames(ctx, o.Out, world, &simulate.KinectV1, o.Count, written)
	} else {
		err = simulate.WriteScans(ctx, o.Out, world, &l, o.Count, written)
	}
	if err != nil {
		return nil, err
	}
	s.Seconds = time.Since(start).Seconds()
	return s, nil
}

// Scenes lists the simulated scenes.
func Scenes() []string {
	var out []string
	for _, s := range simulate.Scenes {
		out = append(out, s.Name)
	}
	slices.Sort(out)
	return out
}

// Sensors lists the sensors that can record simulated scenes.
func Sensors() []string {
	var out []string
	for _, l := range simulate.Lidars {
		out = append(out, l.Name)
	}
	return append(out, depthSensor)
}
