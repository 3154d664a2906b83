// Command scenes measures how well the default detector finds ground, objects, tracks and speeds in simulated streets
// and rooms whose truth is known. It writes the tables of docs/reference/perception-accuracy.md.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/simulate"
	"github.com/voxelstream/voxelstream/perception"
	"github.com/voxelstream/voxelstream/perception/perceptiontest"
	"github.com/voxelstream/voxelstream/record"
)

// firstSeed is the first seed of stated figures. Detectors are tuned on smaller ones only.
const firstSeed = 2000

func main() {
	seeds := flag.Int("seeds", 5, "number of streets and rooms")
	first := flag.Uint64("first-seed", firstSeed, "first seed; tune on seeds below 2000")
	scans := flag.Int("scans", 20, "number of scans of a street, 0.1 s apart")
	only := flag.String("only", "", "part of the names of the conditions to measure")
	options := perception.DefaultOptions()
	list := func(names *[]string) func(string) error {
		return func(text string) error {
			*names = strings.Split(text, ",")
			return nil
		}
	}
	flag.Func("steps", "steps for scans instead of the default ones, with commas between them", list(&options.Scan))
	flag.Func("frame-steps", "likewise for depth frames", list(&options.Frame))
	page := flag.String("page", "", "file to write instead of the standard output")
	flag.Parse()
	m := measurement{options: options, first: *first, seeds: *seeds, scans: *scans}
	text, err := m.measure(context.Background(), *only)
	if err == nil && *page != "" {
		err = os.WriteFile(*page, []byte(text), 0o666)
	} else if err == nil {
		fmt.Print(text)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// measurement says what is measured on what.
type measurement struct {
	options      perception.Options
	first        uint64
	seeds, scans int
}

// condition is a kind of street and a sensor.
type condition struct {
	name   string
	sensor string
	street simulate.StreetOptions
	change func(*simulate.Lidar)
}

// driving is the condition that the others vary.
var driving = simulate.StreetOptions{Moving: true, Speed: 10}

func conditions() []condition {
	with := func(change func(*simulate.StreetOptions)) simulate.StreetOptions {
		o := driving
		change(&o)
		return o
	}
	out := []condition{
		{name: "nothing moves", sensor: "hdl64"},
		{name: "traffic, sensor parked", sensor: "hdl64", street: simulate.StreetOptions{Moving: true}},
		{name: "traffic, sensor at 10 m/s", sensor: "hdl64", street: driving},
		{
			name: "the same, scans not corrected for motion", sensor: "hdl64", street: driving,
			change: func(l *simulate.Lidar) { l.Parts = 36 },
		},
		{
			name: "noise 5 cm, 10 % dropouts", sensor: "hdl64", street: driving,
			change: func(l *simulate.Lidar) { l.Noise, l.Dropout = 0.05, 0.1 },
		},
		{
			name: "rain (1 % of the beams), wide beams (3 mrad)", sensor: "hdl64", street: driving,
			change: func(l *simulate.Lidar) { l.Clutter, l.Divergence = 0.01, 0.003 },
		},
		{
			name: "crowded, much occluded", sensor: "hdl64",
			street: with(func(o *simulate.StreetOptions) { o.Density = 2 }),
		},
		{name: "slopes up to 10 %", sensor: "hdl64", street: with(func(o *simulate.StreetOptions) { o.Slope = 0.1 })},
		{name: "slopes up to 20 %", sensor: "hdl64", street: with(func(o *simulate.StreetOptions) { o.Slope = 0.2 })},
		{name: "no kerbs", sensor: "hdl64", street: with(func(o *simulate.StreetOptions) { o.Kerb = -1 })},
		{name: "kerbs of 20 cm", sensor: "hdl64", street: with(func(o *simulate.StreetOptions) { o.Kerb = 0.2 })},
	}
	for _, sensor := range []string{"vlp16", "hdl32", "os1-32", "os1-64", "os1-128", "os2-128"} {
		out = append(out, condition{name: "sensor " + sensor, sensor: sensor, street: driving})
	}
	return out
}

// figures are what is measured under a condition.
type figures struct {
	ground   perceptiontest.Confusion
	segments perceptiontest.Confusion
	whole    perceptiontest.Confusion // boxes
	visible  perceptiontest.Confusion
	tracking perceptiontest.Tracking
	// found and all count objects by their class and distance.
	found, all map[group]int
	// false counts false clusters by what most of their points are.
	false map[string]int
}

// group is a class of objects and a part of the distances.
type group struct {
	class simulate.Class
	part  int
}

// parts are the ends of the parts of the distances in metres.
var parts = []float64{20, 40, 1000}

func (f *figures) merge(g *figures) {
	f.ground.Add(g.ground)
	f.segments.Add(g.segments)
	f.whole.Add(g.whole)
	f.visible.Add(g.visible)
	f.tracking.Merge(&g.tracking)
	f.count(g.found, g.all, g.false)
}

func (f *figures) count(found, all map[group]int, false map[string]int) {
	if f.all == nil {
		f.found, f.all, f.false = map[group]int{}, map[group]int{}, map[string]int{}
	}
	for k, n := range false {
		f.false[k] += n
	}
	for k, n := range found {
		f.found[k] += n
	}
	for k, n := range all {
		f.all[k] += n
	}
}

// street measures the scans of a street.
func (m *measurement) street(ctx context.Context, c *condition, seed uint64) (*figures, error) {
	detector, err := perception.New(m.options.Clone())
	if err != nil {
		return nil, err
	}
	sensor, err := simulate.FindLidar(c.sensor)
	if err != nil {
		return nil, err
	}
	if c.change != nil {
		c.change(&sensor)
	}
	world := simulate.Street(seed, c.street)
	f := &figures{}
	for i := range m.scans {
		cloud, truth := sensor.Scan(world, time.Duration(i)*100*time.Millisecond)
		index := make([]float64, cloud.Len())
		for k := range index {
			index[k] = float64(k)
		}
		cloud.Fields = append(cloud.Fields, ingest.Field{Name: "index", Values: index})
		s, err := detect(ctx, detector, cloud, seed, i, truth.Time)
		if err != nil {
			return nil, err
		}
		if index, err = s.Cloud.Column("index"); err != nil {
			return nil, err
		}
		f.scan(cloud, truth, s, func(k int) int { return int(index[k]) }, perceptiontest.LeastPoints)
	}
	return f, nil
}

func detect(ctx context.Context, d *perception.Detector, data ingest.Data, seed uint64, seq int, at time.Duration) (
	*perception.Scene, error,
) {
	s, err := d.Detect(ctx, ingest.Sample{
		ID: record.ID{Stream: fmt.Sprint("seed ", seed), Seq: uint64(seq)}, Time: time.Unix(1, 0).Add(at),
		Label: ingest.NoLabel, Data: data,
	})
	if err != nil {
		return nil, err
	}
	return s, d.Follow(ctx, s)
}

// scan compares a scene with its truth. at returns the index of a point of the scene in the truth.
func (f *figures) scan(
	cloud *ingest.PointCloud, truth *simulate.Truth, s *perception.Scene, at func(int) int, least int,
) {
	n := len(truth.Class)
	ground, cluster := make([]bool, n), make([]int32, n)
	for k := range s.Cloud.Len() {
		if s.Ground != nil {
			ground[at(k)] = s.Ground[k]
		}
		if s.Cluster != nil {
			cluster[at(k)] = s.Cluster[k]
		}
	}
	f.ground.Add(perceptiontest.Ground(ground, truth))
	m := perceptiontest.Segments(cluster, truth, least)
	f.segments.Add(m.Counts())
	tracked, ignored := make([]perceptiontest.Tracked, len(s.Objects)), make([]bool, len(s.Objects))
	for i, o := range s.Objects {
		tracked[i] = perceptiontest.Tracked{Track: o.Track, Velocity: o.Velocity}
		ignored[i] = true
	}
	for _, c := range m.False {
		ignored[c-1] = false
	}
	for _, p := range m.Pairs {
		ignored[p.Cluster-1] = false
	}
	f.tracking.Add(m, tracked)
	found, all := map[group]int{}, map[group]int{}
	for _, p := range m.Pairs {
		found[groupOf(p.Object)]++
		all[groupOf(p.Object)]++
	}
	for _, o := range m.Missed {
		all[groupOf(o)]++
	}
	f.count(found, all, falseOf(m, cluster, truth))
	if cloud != nil {
		f.whole.Add(boxes(s, truth, least, ignored))
		f.visible.Add(boxes(s, perceptiontest.VisibleBoxes(cloud, truth), least, ignored))
	}
}

// falseOf says what most points of the false clusters are.
func falseOf(m *perceptiontest.Match, cluster []int32, truth *simulate.Truth) map[string]int {
	points := map[int]map[string]int{}
	for _, c := range m.False {
		points[c] = map[string]int{}
	}
	for i, c := range cluster {
		if p := points[int(c)]; p != nil {
			switch class := truth.Class[i]; {
			case class.Ground():
				p["ground"]++
			case class == simulate.None:
				p["rain"]++
			default:
				p[class.String()]++
			}
		}
	}
	out := map[string]int{}
	for _, p := range points {
		out[slices.MaxFunc(slices.Sorted(maps.Keys(p)), func(a, b string) int { return cmp.Compare(p[a], p[b]) })]++
	}
	return out
}

func groupOf(o simulate.Object) group {
	c := o.Box.Center
	return group{o.Class, slices.IndexFunc(parts, func(end float64) bool { return c[0]*c[0]+c[1]*c[1] < end*end })}
}

func boxes(s *perception.Scene, truth *simulate.Truth, least int, ignored []bool) perceptiontest.Confusion {
	ious := make([][]float64, len(s.Objects))
	for i := range s.Objects {
		ious[i] = make([]float64, len(truth.Objects))
		for k := range truth.Objects {
			ious[i][k], _ = perceptiontest.IoU(s.Objects[i].Box, truth.Objects[k].Box)
		}
	}
	return perceptiontest.Boxes(ious, truth, least, ignored).Counts()
}

// leastPixels is the number of pixels from which an object of a depth frame counts.
const leastPixels = 500

// room measures depth frames of a furnished room.
func (m *measurement) room(ctx context.Context, seed uint64) (*figures, error) {
	detector, err := perception.New(m.options.Clone())
	if err != nil {
		return nil, err
	}
	world := simulate.Room(seed)
	f := &figures{}
	for i := range 4 {
		frame, truth := simulate.KinectV1.Frame(world, time.Duration(i)*2*time.Second)
		// Pixels without a depth belong to nothing.
		for k, z := range frame.Depth {
			if z == 0 {
				truth.Class[k], truth.Object[k] = simulate.None, 0
			}
		}
		s, err := detect(ctx, detector, frame, seed, i, truth.Time)
		if err != nil {
			return nil, err
		}
		f.scan(nil, truth, s, func(k int) int { return int(s.Pixel[k]) }, leastPixels)
	}
	return f, nil
}

// each runs measure for all seeds, as many at once as there are processors, and adds the figures in the order of the
// seeds.
func (m *measurement) each(seeds int, measure func(seed uint64) (*figures, error)) (*figures, error) {
	all, errs := make([]*figures, seeds), make([]error, seeds)
	var wait sync.WaitGroup
	turns := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i := range seeds {
		wait.Go(func() {
			turns <- struct{}{}
			all[i], errs[i] = measure(m.first + uint64(i))
			<-turns
		})
	}
	wait.Wait()
	sum := &figures{}
	for i, f := range all {
		if errs[i] != nil {
			return nil, errs[i]
		}
		sum.merge(f)
	}
	return sum, nil
}

// measure returns the page.
func (m *measurement) measure(ctx context.Context, only string) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, head, m.seeds, m.first, m.first+uint64(m.seeds)-1, m.scans)
	all := &figures{}
	var ground, objects, tracks strings.Builder
	for _, c := range conditions() {
		if !strings.Contains(c.name, only) {
			continue
		}
		f, err := m.each(m.seeds, func(seed uint64) (*figures, error) { return m.street(ctx, &c, seed) })
		if err != nil {
			return "", fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Fprintf(os.Stderr, "%s: ground %.3f, recall %.3f, precision %.3f\n", c.name, f.ground.IoU(),
			f.segments.Recall(), f.segments.Precision())
		fmt.Fprintf(&ground, "| %s | %d | %.3f | %.3f | %.3f |\n", c.name, beams(c.sensor), f.ground.IoU(),
			f.ground.Precision(), f.ground.Recall())
		fmt.Fprintf(&objects, "| %s | %d | %.3f | %.3f | %.3f | %.3f | %.3f | %.3f |\n", c.name, f.tracking.Objects,
			f.segments.Recall(), f.segments.Precision(), f.visible.Recall(), f.visible.Precision(), f.whole.Recall(),
			f.whole.Precision())
		t := &f.tracking
		half, halfStill := t.SpeedError(0.5)
		most, mostStill := t.SpeedError(0.9)
		fmt.Fprintf(&tracks, "| %s | %d | %d | %.3f | %.3f | %s | %s |\n", c.name, t.Switches, t.Breaks,
			t.MOTA(), t.MOTP(), speeds(half, most), speeds(halfStill, mostStill))
		all.merge(f)
	}
	fmt.Fprintf(&b, groundHead+"%s"+objectsHead+"%s", ground.String(), objects.String())
	b.WriteString(classesHead)
	for class := simulate.Class(0); ; class++ {
		line := classLine(all, class)
		b.WriteString(line)
		if class == simulate.Tree {
			break
		}
	}
	b.WriteString(falseText(all.false))
	fmt.Fprintf(&b, tracksHead+"%s", tracks.String())
	if only == "" || only == "rooms" {
		f, err := m.each(2*m.seeds, func(seed uint64) (*figures, error) { return m.room(ctx, seed) })
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, roomsText, 2*m.seeds, leastPixels, f.ground.IoU(), f.ground.Precision(), f.ground.Recall(),
			f.tracking.Objects, f.segments.Recall(), f.segments.Precision())
	}
	return b.String(), nil
}

func speeds(half, most float64) string {
	if math.IsNaN(half) {
		return ""
	}
	return fmt.Sprintf("%.2f, %.2f", half, most)
}

// falseText returns a table of what false clusters are.
func falseText(counts map[string]int) string {
	sum, names := 0, slices.Collect(maps.Keys(counts))
	for _, n := range counts {
		sum += n
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(counts[b]-counts[a], cmp.Compare(a, b)) })
	var head, line strings.Builder
	for _, name := range names {
		fmt.Fprintf(&head, " %s |", name)
		fmt.Fprintf(&line, " %.1f %% |", 100*float64(counts[name])/float64(sum))
	}
	return fmt.Sprintf(falseHead, sum) + "|" + head.String() + "\n|" + strings.Repeat("---|", len(names)) + "\n|" +
		line.String() + "\n"
}

func beams(sensor string) int {
	l, _ := simulate.FindLidar(sensor)
	return len(l.Elevations)
}

// classLine returns the line of a class, or nothing if it has no objects.
func classLine(f *figures, class simulate.Class) string {
	found, all, line := 0, 0, ""
	for part := range parts {
		g := group{class, part}
		found, all = found+f.found[g], all+f.all[g]
		if f.all[g] == 0 {
			line += " |"
			continue
		}
		line += fmt.Sprintf(" %.3f |", float64(f.found[g])/float64(f.all[g]))
	}
	if all == 0 {
		return ""
	}
	return fmt.Sprintf("| %s | %d | %.3f |%s\n", class, all, float64(found)/float64(all), line)
}

const head = `# How well objects are found
The default steps of ` + "`objects`" + ` on simulated streets and rooms with known ground truth.
` + "`make bench-perception`" + ` writes this page. The measures are those of the package ` + "`perception/perceptiontest`" + `.

A street has buildings, parked and passing cars, trucks, cyclists, pedestrians, trees, bushes, poles, signs and bins,
undulations of a few centimetres, kerbs of 12 cm and driveways. Beams have a noise of 1.5 cm and 2 %% of them are lost. Each
condition is measured on %d streets (seeds %d to %d, none of which was used for tuning) with %d scans each.
Simulated scans are cleaner than real ones: figures on real streets are lower.
`

const groundHead = `
## Ground
Points on roads, pavements, kerbs and verges count as ground, and vegetation of any height as objects. IoU is the
intersection over the union of the points that are ground and those found to be ground.

| condition | beams | IoU | precision | recall |
|---|---|---|---|---|
`

const objectsHead = `
## Objects
Cars, trucks, pedestrians, cyclists, poles, signs, bins and trees with at least 20 returns count, even if the rest of them
is hidden. Clusters of buildings, walls, fences, hedges and bushes, and of objects with fewer returns, count neither as found
nor as false. Three definitions of "found":
- points: a cluster and the returns of the object have an IoU above 0.5;
- visible box: the box of a cluster and that around the returns of the object have an IoU above 0.5, seen from above;
- whole box: the box of a cluster and that of the whole object, as in the KITTI benchmark. A scan shows one or two
  sides of a car, and the detector does not guess the others.

| condition | objects | recall, points | precision | recall, visible box | precision | recall, whole box | precision |
|---|---|---|---|---|---|---|---|
`

const classesHead = `
Recall by points and distance, over all conditions:

| class | objects | all | up to 20 m | 20 to 40 m | from 40 m |
|---|---|---|---|---|---|
`

const falseHead = `
%d clusters are false. Most of their points belong to these classes. Clusters in objects are pieces of one, or of several.

`

const tracksHead = `
## Tracks and speeds
A switch is an object that gets a different track from its last one. A break is an object that is found again after it was
missed. MOTA is 1 minus the missed objects, false objects and switches per object. MOTP is the mean IoU of the objects found
(Bernardin and Stiefelhagen 2008). The error of a speed is the length of the difference between the velocity of a track,
from its sixth scan on, and that of the object over the ground, in m/s.

| condition | switches | breaks | MOTA | MOTP | error of moving objects: median, 90 %% | of standing objects: median, 90 %% |
|---|---|---|---|---|---|---|
`

const roomsText = `
## Depth frames
Furnished rooms, seen by a Kinect with its noise (1.5 mm at 1 m, growing with the square of the distance), its steps and
its shadows: %d rooms with 4 frames each. Tables, chairs, shelves, sofas, lamps, cartons and people with at least %d
pixels count, found by points.

| floor: IoU | precision | recall | objects | recall | precision |
|---|---|---|---|---|---|
| %.3f | %.3f | %.3f | %d | %.3f | %.3f |
`
