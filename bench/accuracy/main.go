// Command accuracy trains the networks of docs/accuracy.md on MNIST's digits and writes the tables of that page.
//
//	accuracy [-only NAME,...] [-stored] [-page docs/accuracy.md] VOXELSTREAM MNIST DIR
//
// MNIST is the folder of make mnist. DIR keeps models and results. Steps whose results it already holds are not
// repeated, and with -stored no other steps are run. Networks are trained on train[0:58000] and compared on
// train[58000:60000]. The final one is then evaluated on the test rows, those of t10k[0:1000], once for each seed.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/dataset/mnist3d"
)

// way is a row of the table.
type way struct {
	name, what string
	seeds      int
	// train are the flags of the training, on the digits unless archive is set.
	train   []string
	archive bool
	// base is the way whose models are averaged over views, instead of a training.
	base, views string
	final       bool
}

// sampled are the settings of --arch best without its choice of views, for networks compared with it.
var sampled = strings.Fields("--split pairs --validation-split 0.033333 --optimizer adamw --learning-rate 0.002 " +
	"--batch-size 64 --weight-decay 0.02 --schedule cosine --warm-up 200 --ema 0.999 --label-smoothing 0.03 --epochs 2")

var ways = []way{
	{
		name: "tutorial", what: "the tutorial: its network, 10,000 rows of 5,000 digits, 40 epochs", seeds: 1,
		archive: true,
	},
	{
		name: "fresh", what: "its network, 58,000 digits, rotations and noise afresh for each row", seeds: 1,
		train: append([]string{"--arch", "tutorial"}, sampled...),
	},
	{
		name: "volume", what: "a 3D network of 1.0 M parameters, normalized, on the same rows", seeds: 1,
		train: append([]string{"--arch", "volume"}, sampled...),
	},
	{
		name: "volume24", what: "the same, averaged over the 24 rotations of the cube, unless it is upright", seeds: 1,
		base: "volume", views: "turns",
	},
	{
		name: "plane", what: "the digit turned face on, and a network on its image", seeds: 1,
		train: append([]string{"--arch", "plane"}, sampled...),
	},
	{name: "plane4", what: "the same, averaged over four images that differ a little", seeds: 1, base: "plane", views: "turned"},
	{name: "mirrors", what: "the same, averaged over mirror images instead", seeds: 1, base: "plane", views: "mirrors"},
	{name: "best", what: "`train --arch best`", seeds: 3, train: []string{"--arch", "best"}, final: true},
}

// trained is a model.
type trained struct {
	path       string
	Parameters int
	Minutes    float64 // of the training
}

// result is how a model classifies rows of digits that it has not seen.
type result struct {
	Way        string  `json:"way"`
	Data       string  `json:"data"`
	Seed       int     `json:"seed"`
	Minutes    float64 `json:"minutes"`
	Parameters int     `json:"parameters"`
	Rows       int     `json:"rows"`
	Accuracy   float64 `json:"accuracy"`
	Upright    share   `json:"upright"`
	Rotated    share   `json:"rotated"`
	ECE        float64 `json:"ece"`
	Confusion  [][]int `json:"confusion"`
	// Tilts are the rotated rows by the angle between the digit's vertical and that of upright digits, in ranges of 30
	// degrees.
	Tilts []share `json:"tilts,omitempty"`
}

type share struct {
	Rows     int     `json:"rows"`
	Accuracy float64 `json:"accuracy"`
}

func main() {
	only := flag.String("only", "", "names of ways, separated by commas")
	stored := flag.Bool("stored", false, "use the results that are there")
	page := flag.String("page", "", "page with the markers of the tables")
	flag.Parse()
	if err := run(context.Background(), flag.Args(), *only, *stored, *page); err != nil {
		fmt.Fprintln(os.Stderr, "accuracy:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, only string, stored bool, page string) error {
	if len(args) != 3 {
		return errors.New("want VOXELSTREAM MNIST DIR")
	}
	b := &bench{binary: args[0], mnist: args[1], dir: args[2]}
	if err := os.MkdirAll(b.dir, 0o777); err != nil {
		return err
	}
	var all []result
	for _, w := range ways {
		if only != "" && !slices.Contains(strings.Split(only, ","), w.name) {
			continue
		}
		for seed := 1; seed <= w.seeds; seed++ {
			for _, data := range []string{held, test} {
				if data == test && !w.final || stored && !b.has(w, seed, data) {
					continue
				}
				r, err := b.result(ctx, w, seed, data)
				if err != nil {
					return fmt.Errorf("%s, seed %d: %w", w.name, seed, err)
				}
				all = append(all, r)
			}
		}
	}
	if page == "" {
		fmt.Println(tables(all))
		return nil
	}
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(text, []byte(begin))
	_, after, closed := bytes.Cut(rest, []byte(end))
	if !ok || !closed {
		return fmt.Errorf("%s: found no %s and %s", page, begin, end)
	}
	out := slices.Concat(before, []byte(begin+"\n"+tables(all)), []byte(end), after)
	return os.WriteFile(page, out, 0o666)
}

// begin and end enclose the tables on the page.
const begin, end = "<!-- accuracy: begin -->", "<!-- accuracy: end -->"

// The data that models are evaluated on.
const held, test = "held", "test"

// archives are the digits of each archive: file, first, count, seed of the rotations, and the flags to make it.
var archives = map[string]struct {
	part         string
	first, count int
	seed         uint64
}{
	"tutorial": {"train", 0, 5000, 101},
	held:       {"train", 58000, 2000, 102},
	test:       {"t10k", 0, 1000, 103},
}

type bench struct{ binary, mnist, dir string }

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// file returns the name of the file of a result.
func file(w way, seed int, data string) string {
	return fmt.Sprintf("%s-%d-%s.json", w.name, seed, data)
}

// has reports whether a result is there.
func (b *bench) has(w way, seed int, data string) bool {
	_, err := os.Stat(b.path(file(w, seed, data)))
	return err == nil
}

// once makes a file unless it is there, and reads v from it.
func (b *bench) once(name string, v any, make func() error) error {
	text, err := os.ReadFile(b.path(name))
	if err == nil {
		return json.Unmarshal(text, v)
	}
	if err := make(); err != nil {
		return err
	}
	if text, err = json.MarshalIndent(v, "", " "); err != nil {
		return err
	}
	return os.WriteFile(b.path(name), text, 0o666)
}

// command runs voxelstream and returns its standard output.
func (b *bench) command(ctx context.Context, args ...string) ([]byte, error) {
	fmt.Fprintln(os.Stderr, "voxelstream", strings.Join(args, " "))
	c := exec.CommandContext(ctx, b.binary, args...)
	c.Stderr = os.Stderr
	return c.Output()
}

// archive generates an archive, unless it is there, and returns its path.
func (b *bench) archive(ctx context.Context, name string) (string, error) {
	a, path := archives[name], b.path(name+".h5")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	images := filepath.Join(b.mnist, a.part+"-images-idx3-ubyte.gz")
	labels, err := mnist3d.LabelsOf(images)
	if err != nil {
		return "", err
	}
	_, err = b.command(ctx, "generate", "--digits", images, "--labels", labels, "--first", strconv.Itoa(a.first), "--count",
		strconv.Itoa(a.count), "--augment", "--seed", strconv.FormatUint(a.seed, 10), "--out", path)
	return path, err
}

// result returns the figures of a way.
func (b *bench) result(ctx context.Context, w way, seed int, data string) (r result, err error) {
	err = b.once(file(w, seed, data), &r, func() error {
		m, err := b.model(ctx, w, seed)
		if err != nil {
			return err
		}
		archive, err := b.archive(ctx, data)
		if err != nil {
			return err
		}
		text, err := b.command(ctx, "evaluate", archive, "--model", m.path, "--split", "all", "--json")
		if err != nil {
			return err
		}
		if err := json.Unmarshal(text, &r); err != nil {
			return err
		}
		r.Way, r.Data, r.Seed, r.Minutes, r.Parameters = w.name, data, seed, m.Minutes, m.Parameters
		if w.final && data == test {
			r.Tilts, err = b.tilts(ctx, m, archive, data)
		}
		return err
	})
	return r, err
}

// model returns the model of a way.
func (b *bench) model(ctx context.Context, w way, seed int) (m trained, err error) {
	name := fmt.Sprintf("%s-%d", w.name, seed)
	m.path = b.path(name + ".safetensors")
	err = b.once(name+".json", &m, func() error {
		if w.base != "" {
			base, err := b.model(ctx, ways[slices.IndexFunc(ways, func(o way) bool { return o.name == w.base })], seed)
			if err != nil {
				return err
			}
			m.Parameters, m.Minutes = base.Parameters, base.Minutes
			_, err = b.command(ctx, "model", "average", base.path, "--views", w.views, "--out", m.path, "--force")
			return err
		}
		args := []string{"train", "--seed", strconv.Itoa(seed), "--out", m.path, "--force", "--json"}
		if w.archive {
			archive, err := b.archive(ctx, "tutorial")
			if err != nil {
				return err
			}
			args = append(args, archive)
		} else {
			args = append(args, "--digits", filepath.Join(b.mnist, "train-images-idx3-ubyte.gz"))
		}
		start := time.Now()
		text, err := b.command(ctx, append(args, w.train...)...)
		if err != nil {
			return err
		}
		m.Minutes = time.Since(start).Minutes()
		return json.Unmarshal(text, &m)
	})
	return m, err
}

// ranges is the number of ranges of tilts.
const ranges = 6

// tilts returns the accuracy on rotated rows by their tilt.
func (b *bench) tilts(ctx context.Context, m trained, archive, name string) ([]share, error) {
	a := archives[name]
	images := filepath.Join(b.mnist, a.part+"-images-idx3-ubyte.gz")
	labels, err := mnist3d.LabelsOf(images)
	if err != nil {
		return nil, err
	}
	digits, err := mnist3d.OpenIDX(images, labels, a.first, a.count)
	if err != nil {
		return nil, err
	}
	var of []int // range of each row, or -1
	err = mnist3d.Generate(ctx, mnist3d.Options{Digits: digits, Augment: true, Seed: a.seed}, func(r mnist3d.Row) error {
		of = append(of, -1)
		if r.Rotated {
			of[len(of)-1] = min(int(r.Cloud.Tilt()/(180/ranges)), ranges-1)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	lines := b.path("classifications.jsonl")
	if err := os.RemoveAll(lines); err != nil {
		return nil, err
	}
	if _, err := b.command(ctx, "run", archive, "--model", m.path, "--out", lines); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(lines)
	if err != nil {
		return nil, err
	}
	out := make([]share, ranges)
	for line := range bytes.Lines(text) {
		var c struct {
			Seq          int
			Class, Label int
		}
		if err := json.Unmarshal(line, &c); err != nil {
			return nil, err
		}
		if k := of[c.Seq]; k >= 0 {
			out[k].Rows++
			if c.Class == c.Label {
				out[k].Accuracy++
			}
		}
	}
	for k := range out {
		out[k].Accuracy /= float64(max(1, out[k].Rows))
	}
	return out, nil
}
