package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/voxelstream/voxelstream/pipeline/transport"
	client "github.com/voxelstream/voxelstream/pipeline/transport/kafka"
)

// reportEvery is how often the memory of the process is printed.
const reportEvery = 30 * time.Second

// latency sends volumes one by one to a running classify, reads the classifications, and prints how long each volume
// took from before it was sent until its classification was read, and the memory of the process.
func (b *bench) latency(ctx context.Context) error {
	in, out, group := volumesTopic, volumesTopic+"-out", volumesTopic+"-group"
	if err := errors.Join(b.topics.create(ctx, in), b.topics.create(ctx, out)); err != nil {
		return err
	}
	args, err := b.classifying(b.model, in, group, out, true)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Stderr = b.dir, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	c := &clock{sent: map[string]time.Time{}}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	var readers sync.WaitGroup
	for p := range b.partitions {
		readers.Go(func() { b.listen(reading, out, p, c) })
	}
	err = b.send(ctx, in, c, cmd.Process.Pid)
	stop()
	readers.Wait()
	_ = cmd.Process.Signal(os.Interrupt)
	if waited := cmd.Wait(); err == nil {
		err = waited
	}
	if err != nil {
		return err
	}
	all := slices.Sorted(slices.Values(c.taken[warm:]))
	at := func(q float64) float64 { return all[min(len(all)-1, int(q*float64(len(all))))].Seconds() * 1e3 }
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	fmt.Printf("%d volumes at %g/s: p50 %.1f ms, p90 %.1f ms, p99 %.1f ms, longest %.1f ms, %.0f us of processor time each\n",
		len(all), b.rate, at(.5), at(.9), at(.99), at(1), cpu.Seconds()*1e6/float64(len(all)))
	return nil
}

// clock remembers when volumes were sent.
type clock struct {
	mu    sync.Mutex
	sent  map[string]time.Time
	taken []time.Duration
}

// count returns the number of classifications that have arrived.
func (c *clock) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.taken)
}

// wait waits for n classifications.
func (c *clock) wait(n int) error {
	for end := time.Now().Add(time.Minute); c.count() < n; {
		if time.Now().After(end) {
			return fmt.Errorf("found %d classifications, want %d", c.count(), n)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}

// warm is the number of volumes that are not measured, because topics and connections are new.
const warm = 50

// send sends the volumes, and waits until they are classified.
func (b *bench) send(ctx context.Context, topic string, c *clock, pid int) error {
	p, err := client.NewProducer(b.topics.client, client.ProducerConfig{})
	if err != nil {
		return err
	}
	begin := time.Now()
	report := begin.Add(reportEvery)
	for i := range b.volumes {
		if i == warm {
			if err := c.wait(warm); err != nil {
				return err
			}
			begin = time.Now().Add(-time.Duration(warm / b.rate * float64(time.Second)))
		}
		time.Sleep(time.Until(begin.Add(time.Duration(float64(i) / b.rate * float64(time.Second)))))
		m, err := b.message(i)
		if err != nil {
			return err
		}
		c.mu.Lock()
		c.sent[m.EventID()] = time.Now()
		c.mu.Unlock()
		if _, err := p.Produce(ctx, topic, m); err != nil {
			return err
		}
		if time.Now().After(report) {
			report = report.Add(reportEvery)
			kib, err := residentKiB(pid)
			if err != nil {
				return err
			}
			cpu, err := processorTime(pid)
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "%v: %d volumes, %d MiB, %v of processor time\n", time.Since(begin).Round(time.Second), i+1,
				kib/1024, cpu)
		}
	}
	if err := c.wait(b.volumes); err != nil {
		return err
	}
	return p.Close(ctx)
}

// listen notes when classifications arrive in a partition.
func (b *bench) listen(ctx context.Context, topic string, partition int, c *clock) {
	r := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{b.brokers}, Topic: topic, Partition: partition, MinBytes: 1, MaxBytes: 1 << 20,
		MaxWait: 500 * time.Millisecond, ReadLagInterval: -1,
	})
	defer r.Close() //nolint:errcheck // nothing is written
	for {
		m, err := r.ReadMessage(ctx)
		now := time.Now()
		if err != nil {
			if ctx.Err() == nil {
				fmt.Fprintln(os.Stderr, "stream:", err)
			}
			return
		}
		event := ""
		for _, h := range m.Headers {
			if h.Key == transport.HeaderEventID {
				event, _, _ = strings.Cut(string(h.Value), "@")
			}
		}
		c.mu.Lock()
		if at, ok := c.sent[event]; ok {
			c.taken = append(c.taken, now.Sub(at))
			delete(c.sent, event)
		}
		c.mu.Unlock()
	}
}

// residentKiB returns the resident memory of a process.
func residentKiB(pid int) (kib int, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kib); err == nil {
			return kib, nil
		}
	}
	return 0, fmt.Errorf("process %d: found no VmRSS", pid)
}
