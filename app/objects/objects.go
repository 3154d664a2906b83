// Package objects implements the command objects, which finds the objects in scans, recordings and depth frames, with
// their boxes, distances, tracks and classes.
package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/perception"
)

// Object is an object in one frame of a file.
type Object struct {
	File  string    `json:"file"`
	Frame uint64    `json:"frame"`
	Time  time.Time `json:"time,omitzero"`
	// Object is the number of the object in its frame, from 1. Track is the same for an object in all frames; 0 if it
	// is not tracked.
	Object int    `json:"object"`
	Track  uint64 `json:"track"`
	// Center, Size (length, width, height) and Yaw are those of the box: metres and radians in the sensor's axes, x
	// forward, y left, z up.
	Center [3]float64 `json:"center"`
	Size   [3]float64 `json:"size"`
	Yaw    float64    `json:"yaw"`
	// Distance is that of the nearest point of the object from the sensor, CenterDistance that of the centre of its
	// box. Deviation is the standard deviation of the first.
	Distance       float64 `json:"distance_m"`
	CenterDistance float64 `json:"center_distance_m"`
	Deviation      float64 `json:"deviation_m,omitempty"`
	Points         int     `json:"points"`
	// Velocity is in metres per second. It is nil for an object that is not tracked yet.
	Velocity *[3]float64 `json:"velocity,omitempty"`
	// Class, Name and Score are what the model says; nil and empty without one.
	Class *int     `json:"class,omitempty"`
	Name  string   `json:"name,omitempty"`
	Score *float64 `json:"score,omitempty"`
}

// Frame is a scan or a depth frame with its objects, nearest first.
type Frame struct {
	File    string    `json:"file"`
	Frame   uint64    `json:"frame"`
	Time    time.Time `json:"time,omitzero"`
	Objects int       `json:"objects"`
	Ground  int       `json:"ground_points"`
	// Points is the number of finite points that were measured.
	Points int `json:"points"`

	List  []Object          `json:"-"`
	Scene *perception.Scene `json:"-"`
}

// Summary counts what [Find] found.
type Summary struct{ Files, Frames, Objects, Failed int }

// Find finds the objects in the files and folders, one after another, and calls use with each frame. A file or frame
// that cannot be read is reported and left out; then the error wraps [app.ErrSkipped].
func Find(ctx context.Context, a *app.Env, paths []string, namer *Namer, use func(*Frame) error) (s Summary, err error) {
	inputs, err := input.ParseFiles(paths)
	if err != nil {
		return s, err
	}
	if err := a.Config.Perception.Options.Finding(); err != nil {
		return s, app.Usage(err)
	}
	f := &finder{app: a, namer: namer, use: use, sum: &s, skips: a.Skips()}
	var files input.Files
	for in, tally := range files.Of(ctx, a, inputs) {
		if f.detector, err = perception.New(a.Config.Perception.Options); err != nil {
			return s, err
		}
		err := f.file(ctx, in)
		switch {
		case ctx.Err() != nil:
			return s, ctx.Err()
		case errors.Is(err, errUse):
			return s, f.failed
		case err != nil && in.Named():
			f.skips.Flush()
			return s, err
		case err != nil:
			f.skips.Add(err)
			tally.End(app.FileFailed, err.Error())
			s.Failed++
		}
	}
	for _, file := range files.List() {
		if file.Status == app.FileRepeated {
			a.Log.Warn("a file was left out", "file", file.File, "reason", file.Error)
		}
	}
	if s.Frames == 0 {
		return s, f.skips.None(paths[0], "frame")
	}
	return s, f.skips.Done(paths[0], "frame")
}

// finder is the state of a Find.
type finder struct {
	app      *app.Env
	detector *perception.Detector
	namer    *Namer
	use      func(*Frame) error
	failed   error // of use
	sum      *Summary
	skips    *app.Skips
}

// errUse reports that the function that receives the frames failed.
var errUse = errors.New("the frame could not be used")

// detected is a scene, or why there is none.
type detected struct {
	scene *perception.Scene
	err   error
}

// file finds the objects of one file. Scenes are detected on all threads, and followed in their order.
func (f *finder) file(ctx context.Context, in input.Input) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := in.Err(); err != nil {
		return fmt.Errorf("%s: %w", in, err)
	}
	src, err := in.OpenWith(ctx, f.app.Reading())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	order := make(chan chan detected, f.app.Threads())
	ended := make(chan error, 1)
	go func() {
		defer close(order)
		ended <- f.detect(ctx, src, order)
	}()
	defer func() { // the source is closed when nobody reads it
		cancel()
		for range order {
			continue
		}
	}()
	// Without steps that look for the ground, a cloud may well be one object.
	warned := !slices.ContainsFunc(f.app.Config.Perception.Options.Scan, func(step string) bool {
		return step == string(perception.GroundPlane.Name) || step == string(perception.GroundZones.Name)
	})
	for next := range order {
		d := <-next
		if d.err == nil {
			d.err = f.detector.Follow(ctx, d.scene)
		}
		if d.err != nil {
			f.skips.Add(d.err)
			f.sum.Failed++
			continue
		}
		frame, err := Describe(ctx, in.String(), d.scene, f.namer)
		if err != nil {
			return err
		}
		f.sum.Frames++
		f.sum.Objects += len(frame.List)
		if !warned && frame.lumped() {
			warned = true
			f.app.Log.Warn("most points are one object, and there is no ground: the points may have other axes than x forward, "+
				"y left and z up, or another unit than metres", "file", frame.File, "frame", frame.Frame)
		}
		if f.failed = f.use(frame); f.failed != nil {
			return errUse
		}
	}
	if err := <-ended; err != nil {
		return err
	}
	f.sum.Files++
	return nil
}

// detect reads the samples and detects their scenes concurrently, as many as order holds.
func (f *finder) detect(ctx context.Context, src ingest.Source, order chan<- chan detected) error {
	for {
		sample, err := src.Read(ctx)
		_, item := errors.AsType[*ingest.ItemError](err)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !item:
			return err
		}
		next := make(chan detected, 1)
		if item {
			next <- detected{err: err}
		} else {
			go func() {
				scene, err := f.detector.Detect(ctx, sample)
				next <- detected{scene, err}
			}()
		}
		select {
		case order <- next:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Describe describes a scene of a file, whose steps have run, and classifies its objects.
func Describe(ctx context.Context, file string, s *perception.Scene, namer *Namer) (*Frame, error) {
	out := &Frame{File: file, Frame: s.Seq, Time: s.Time, Objects: len(s.Objects), Points: s.Measured, Scene: s}
	for _, g := range s.Ground {
		if g {
			out.Ground++
		}
	}
	for i := range s.Objects {
		o := &s.Objects[i]
		x := Object{
			File: out.File, Frame: s.Seq, Time: s.Time, Object: i + 1, Track: o.Track, Yaw: rounded(float64(o.Box.Yaw)),
			Distance: rounded(o.Distance.Nearest), CenterDistance: rounded(o.Distance.Center),
			Deviation: rounded(o.Distance.Deviation), Points: len(o.Points),
		}
		for k := range x.Center {
			x.Center[k], x.Size[k] = rounded(o.Box.Center[k]), rounded(float64(o.Box.Size[k]))
		}
		if v := o.Velocity; v != nil {
			x.Velocity = &[3]float64{rounded(float64(v[0])), rounded(float64(v[1])), rounded(float64(v[2]))}
		}
		out.List = append(out.List, x)
	}
	return out, namer.name(ctx, s, out.List)
}

// lumped reports whether most points are one object and none are ground, as in a cloud whose z axis does not point up.
func (f *Frame) lumped() bool {
	for _, o := range f.List {
		if f.Ground == 0 && o.Points > f.Points/2 {
			return true
		}
	}
	return false
}

// rounded rounds metres, radians and metres per second to a tenth of a thousandth.
func rounded(x float64) float64 { return math.Round(x*1e4) / 1e4 }
