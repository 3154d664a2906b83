// Command classes measures how often the command objects gives objects of simulated streets their right class. It
// writes docs/reference/object-classes.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"os"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/app/objects"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/simulate"
	"github.com/voxelstream/voxelstream/perception"
	"github.com/voxelstream/voxelstream/perception/perceptiontest"
	"github.com/voxelstream/voxelstream/record"
)

func main() {
	m := measurement{context: context.Background(), counts: map[group]*counts{}}
	seeds := flag.Int("seeds", 2, "number of streets")
	first := flag.Uint64("first-seed", 2000, "first seed; tune on seeds from 1000 to 1999")
	var overrides []config.Override
	flag.Func("set", "setting as KEY=VALUE, such as perception.cluster_min_area=0", func(text string) error {
		key, value, _ := strings.Cut(text, "=")
		overrides = append(overrides, config.Override{Key: key, Flag: "set", Value: value})
		return nil
	})
	page := flag.String("page", "", "file to write instead of the standard output")
	flag.Parse()
	if err := m.measure(overrides, sensors, *first, *seeds); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	text := m.page(*first, *seeds)
	if *page == "" {
		fmt.Print(text)
		return
	}
	if err := os.WriteFile(*page, []byte(text), 0o666); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Scans of a street: the first ones confirm the tracks and are not measured.
const (
	scans  = 8
	unused = 4
)

var (
	sensors = []string{"hdl64", "vlp16", "hdl32", "os1-64", "os1-128"}
	classes = []simulate.Class{
		simulate.Car, simulate.Truck, simulate.Pedestrian, simulate.Cyclist, simulate.Pole, simulate.Bin, simulate.Tree,
	}
	// ends are the ends of the parts of the distances in metres.
	ends = []float64{20, 40, 1000}
)

// group is a class and a part of the distances.
type group struct {
	class string
	part  int
}

// counts counts the objects of a class. Those of the truth have at least perceptiontest.LeastPoints returns.
type counts struct {
	all, found      int // of the truth, and of those with the right class
	named, right    int // objects of this name, and those that are right
	tracked, proven int // the same among objects with a track
}

func (c *counts) add(d *counts) {
	c.all, c.found = c.all+d.all, c.found+d.found
	c.named, c.right = c.named+d.named, c.right+d.right
	c.tracked, c.proven = c.tracked+d.tracked, c.proven+d.proven
}

type measurement struct {
	context context.Context
	options perception.Options
	namer   *objects.Namer
	counts  map[group]*counts
}

func (m *measurement) measure(overrides []config.Override, sensors []string, first uint64, seeds int) error {
	loaded, err := config.Load("", nil, overrides)
	if err != nil {
		return err
	}
	m.options = loaded.Perception.Options
	m.namer, err = objects.NewNamer(m.context, &app.Env{Config: loaded, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer m.namer.Close()
	for seed := first; seed < first+uint64(seeds); seed++ {
		for _, sensor := range sensors {
			if err := m.street(seed, sensor); err != nil {
				return fmt.Errorf("seed %d, %s: %w", seed, sensor, err)
			}
		}
	}
	return nil
}

func (m *measurement) street(seed uint64, sensor string) error {
	detector, err := perception.New(m.options.Clone())
	if err != nil {
		return err
	}
	lidar, err := simulate.FindLidar(sensor)
	if err != nil {
		return err
	}
	world := simulate.Street(seed, simulate.StreetOptions{Moving: true, Speed: 10})
	for i := range scans {
		cloud, truth := lidar.Scan(world, time.Duration(i)*100*time.Millisecond)
		s, err := detector.Detect(m.context, ingest.Sample{
			ID: record.ID{Stream: sensor, Seq: uint64(i)}, Time: time.Unix(1, 0).Add(truth.Time), Data: cloud,
			Label: ingest.NoLabel,
		})
		if err != nil {
			return err
		}
		if err := detector.Follow(m.context, s); err != nil {
			return err
		}
		if i < unused {
			continue
		}
		f, err := objects.Describe(m.context, sensor, s, m.namer)
		if err != nil {
			return err
		}
		m.scan(f, truth)
	}
	return nil
}

// scan counts the objects of a frame.
func (m *measurement) scan(f *objects.Frame, truth *simulate.Truth) {
	match := perceptiontest.Segments(f.Scene.Cluster, truth, perceptiontest.LeastPoints)
	for _, p := range match.Pairs {
		c := m.of(nameOf(p.Object.Class), f.List[p.Cluster-1].Distance)
		c.all++
		if f.List[p.Cluster-1].Name == nameOf(p.Object.Class) {
			c.found++
		}
	}
	for _, o := range match.Missed {
		at := o.Box.Center
		m.of(nameOf(o.Class), math.Hypot(at[0], at[1])).all++
	}
	for i := range f.List {
		o := &f.List[i]
		c := m.of(o.Name, o.Distance)
		right := share(f.Scene.Objects[i].Points, truth, o.Name) > 0.5
		c.named++
		if right {
			c.right++
		}
		if o.Track != 0 {
			c.tracked++
			if right {
				c.proven++
			}
		}
	}
}

// share returns the share of points that belong to a class.
func share(points []int32, truth *simulate.Truth, name string) float64 {
	n := 0
	for _, i := range points {
		if nameOf(truth.Class[i]) == name {
			n++
		}
	}
	return float64(n) / float64(len(points))
}

// nameOf returns the name of a class in the built-in model, which does not distinguish signs from poles.
func nameOf(c simulate.Class) string {
	if c == simulate.Sign {
		c = simulate.Pole
	}
	return c.String()
}

func (m *measurement) of(class string, distance float64) *counts {
	part := 0
	for distance >= ends[part] && part < len(ends)-1 {
		part++
	}
	g := group{class, part}
	if m.counts[g] == nil {
		m.counts[g] = &counts{}
	}
	return m.counts[g]
}

func (m *measurement) page(first uint64, seeds int) string {
	var b strings.Builder
	fmt.Fprintf(&b, head, seeds, first, first+uint64(seeds)-1, strings.Join(sensors, ", "), scans-unused,
		perceptiontest.LeastPoints)
	for _, class := range classes {
		var all counts
		var cells strings.Builder
		for part := range ends {
			c := m.counts[group{class.String(), part}]
			if c == nil {
				c = &counts{}
			}
			all.add(c)
			fmt.Fprintf(&cells, " %s, %s |", ratio(c.found, c.all), ratio(c.right, c.named))
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %s | %s |%s\n", class, all.all, ratio(all.found, all.all),
			ratio(all.right, all.named), ratio(all.proven, all.tracked), cells.String())
	}
	return b.String()
}

func ratio(a, b int) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", float64(a)/float64(b))
}

const head = `# How often objects get the right class
The classes that ` + "`objects`" + ` gives to objects in simulated streets.
` + "`make bench-classes`" + ` writes this page.

There are %d streets (seeds %d to %d, none of which was used for tuning or training), each seen by %s: %d scans,
with moving traffic, from a car at 10 m/s. Recall is the share of the objects with at least %d returns that are found and
get their class. Precision is the share of the objects of a class that belong to it. The last three columns state recall
and precision by distance. An object that is found in a few scans only has no track, so objects with one are more
reliable. Simulated scans are cleaner than real ones: figures on real streets are lower.

| class | objects | recall | precision | precision with a track | up to 20 m | 20 to 40 m | from 40 m |
|---|---|---|---|---|---|---|---|
`
