// Command stream measures what streaming costs beside the network: volumes per second and processor time per volume of
// each part, on one broker, in alternating rounds.
//
//	stream [flags] VOXELSTREAM MODEL ARCHIVE
//	stream -rate 100 [flags] VOXELSTREAM MODEL ARCHIVE
//	stream -fill TOPIC [flags] VOXELSTREAM MODEL ARCHIVE
//
// With -rate, volumes arrive one by one at that rate, and the latency of each and the memory of the process are
// measured. With -fill, the volumes are only written to a topic.
//
// Every part runs in a process of its own, so that its processor time is known. The rate is taken from the timestamps
// of the output topic, from the first message to the last. The processor time is that of the process, without what
// the same process needs for a topic with nothing to read. On a machine that does other work too, trust the processor
// time.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/voxelize"
)

func main() {
	var err error
	if len(os.Args) > 1 && os.Args[1] == "bare" {
		err = bare(context.Background(), os.Args[2:])
	} else {
		err = measure(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "stream:", err)
		os.Exit(1)
	}
}

// bench is a measurement. The flags set its first fields.
type bench struct {
	brokers    string
	brokerPID  int
	volumes    int
	perMessage int
	streams    int
	partitions int
	rounds     int
	parts      string
	rate       float64
	topic      string // for -fill

	binary, model, archive string
	dir                    string
	identity               string // model file
	topics                 *topics
	run                    int // counts the processes, for names of topics and groups
	total                  int // volumes on the topic
	source                 []voxelize.Volume
}

// part is one of the things that are measured.
type part struct {
	name, doc string
	measure   func(ctx context.Context) (sample, error)
	samples   []sample
}

// sample is the result of one process.
type sample struct {
	perSecond   float64
	process     float64 // microseconds of processor time per volume
	broker      float64
	residentMiB float64 // at most
}

func measure(ctx context.Context) error {
	b := &bench{}
	flag.StringVar(&b.brokers, "brokers", "", "addresses of the brokers; empty starts `voxelstream broker`")
	flag.IntVar(&b.brokerPID, "broker-pid", 0, "process of the broker, whose processor time is measured too")
	flag.IntVar(&b.volumes, "volumes", 20_000, "volumes per process")
	flag.IntVar(&b.perMessage, "per-message", 1, "volumes per message")
	flag.IntVar(&b.streams, "streams", 16, "streams, which are the keys of the messages")
	flag.IntVar(&b.partitions, "partitions", 4, "partitions of all topics")
	flag.IntVar(&b.rounds, "rounds", 3, "alternating rounds")
	flag.StringVar(&b.parts, "parts", "", "parts to measure, separated by commas; empty means all")
	flag.Float64Var(&b.rate, "rate", 0, "volumes per second, whose latency is measured")
	flag.StringVar(&b.topic, "fill", "", "topic to fill, and nothing else")
	flag.Parse()
	if flag.NArg() != 3 {
		return fmt.Errorf("usage: stream [flags] VOXELSTREAM MODEL ARCHIVE")
	}
	b.binary, b.model, b.archive = flag.Arg(0), flag.Arg(1), flag.Arg(2)
	var err error
	for _, path := range []*string{&b.binary, &b.model, &b.archive} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	if b.dir, err = os.MkdirTemp("", "voxelstream-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir) //nolint:errcheck // temporary files
	if b.identity, err = writeIdentity(b.dir); err != nil {
		return err
	}
	if b.brokers == "" {
		stop, err := b.startBroker()
		if err != nil {
			return err
		}
		defer stop()
	}
	if b.topics, err = openTopics(b.brokers, b.partitions); err != nil {
		return err
	}
	defer b.topics.close()
	if err := b.load(ctx); err != nil {
		return fmt.Errorf("read the archive: %w", err)
	}
	if b.rate > 0 {
		return b.latency(ctx)
	}
	name := cmp.Or(b.topic, volumesTopic)
	if err := b.fill(ctx, name); err != nil {
		return fmt.Errorf("fill the topic: %w", err)
	}
	if b.topic != "" {
		return nil
	}
	return b.alternate(ctx)
}

// writeIdentity writes a model that costs next to nothing: it looks at a few cells of a volume.
func writeIdentity(dir string) (string, error) {
	few := layers.NewConv3D(4, 1, "relu")
	few.Strides = [3]int{8, 8, 8}
	m, err := nn.Sequential("identity", nn.Shape{16, 16, 16, 3}, few, layers.NewFlatten(),
		layers.NewDense(10, "softmax"))
	if err != nil {
		return "", err
	}
	m.Init(1)
	m.Metadata = nn.Metadata{Colormap: "Oranges"}
	path := filepath.Join(dir, "identity.keras")
	return path, format.Save(path, m)
}

// startBroker starts the embedded broker in a process of its own.
func (b *bench) startBroker() (stop func(), err error) {
	cmd := exec.Command(b.binary, "broker", "--json", "--port", "0", "--broker-data-dir", filepath.Join(b.dir, "broker"))
	cmd.Dir = b.dir // without the configuration of the working directory
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	}
	var started struct {
		Address string `json:"address"`
	}
	if err := json.NewDecoder(out).Decode(&started); err != nil {
		stop()
		return nil, fmt.Errorf("broker: %w", err)
	}
	b.brokers, b.brokerPID = started.Address, cmd.Process.Pid
	return stop, nil
}

// all returns the parts in the order of the first round.
func (b *bench) all() []*part {
	return []*part{
		{name: "network", doc: "the network alone, batch 128", measure: b.network},
		{name: "identity-network", doc: "the identity network alone, batch 128", measure: b.identityNetwork},
		{name: "bare", doc: "kafka-go's group reader and writer", measure: b.bare},
		{name: "identity", doc: "classify with the identity network, to a topic", measure: b.classify(b.identity, false)},
		{name: "identity-file", doc: "the same to a topic and a file", measure: b.classify(b.identity, true)},
		{name: "classify", doc: "classify with the network, to a topic and a file", measure: b.classify(b.model, true)},
		{name: "ingest", doc: "ingest of the archive", measure: b.ingest},
	}
}

// alternate measures the parts in rounds, each in another order, and prints the medians.
func (b *bench) alternate(ctx context.Context) error {
	var parts []*part
	for _, p := range b.all() {
		if b.parts == "" || slices.Contains(strings.Split(b.parts, ","), p.name) {
			parts = append(parts, p)
		}
	}
	if len(parts) == 0 {
		return fmt.Errorf("found no part named %s", b.parts)
	}
	for round := range b.rounds {
		for i := range parts {
			p := parts[(i+round)%len(parts)]
			s, err := p.measure(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			fmt.Fprintf(os.Stderr, "round %d, %s: %.0f/s, %.1f us, broker %.1f us, %.0f MiB\n", round+1, p.name, s.perSecond,
				s.process, s.broker, s.residentMiB)
			p.samples = append(p.samples, s)
		}
	}
	fmt.Println("| part | volumes/s | us of processor time per volume | broker, us per volume | MiB |")
	fmt.Println("|---|---|---|---|---|")
	for _, p := range parts {
		fmt.Printf("| %s: %s | %s | %s | %s | %s |\n", p.name, p.doc,
			median(p.samples, "%.0f", func(s sample) float64 { return s.perSecond }),
			median(p.samples, "%.1f", func(s sample) float64 { return s.process }),
			median(p.samples, "%.1f", func(s sample) float64 { return s.broker }),
			median(p.samples, "%.0f", func(s sample) float64 { return s.residentMiB }))
	}
	return nil
}

// median returns the median of a figure, with its range.
func median(samples []sample, format string, of func(sample) float64) string {
	var all []float64
	for _, s := range samples {
		all = append(all, of(s))
	}
	slices.Sort(all)
	m := (all[(len(all)-1)/2] + all[len(all)/2]) / 2
	return fmt.Sprintf(format+" ["+format+"–"+format+"]", m, all[0], all[len(all)-1])
}

// child runs a process and returns its output, its processor time and the most memory that it had.
func (b *bench) child(ctx context.Context, name string, args ...string) (out []byte, cpu time.Duration, miB float64,
	err error,
) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stderr = b.dir, os.Stderr
	if out, err = cmd.Output(); err != nil {
		return nil, 0, 0, fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	u := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return out, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), float64(u.Maxrss) / 1024, nil
}

// brokerTime returns the processor time of the broker so far.
func (b *bench) brokerTime() (time.Duration, error) {
	if b.brokerPID == 0 {
		return 0, nil
	}
	return processorTime(b.brokerPID)
}
