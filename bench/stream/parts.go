package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of the times in /proc.
const clockTick = 10 * time.Millisecond

// processorTime returns the processor time of a process, from Linux's /proc.
func processorTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("process %d: found %d fields in its stat", pid, len(fields))
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * clockTick, errors.Join(err, err2)
}

// network measures the network alone.
func (b *bench) network(ctx context.Context) (sample, error) { return b.networkOf(ctx, b.model) }

func (b *bench) identityNetwork(ctx context.Context) (sample, error) {
	return b.networkOf(ctx, b.identity)
}

func (b *bench) networkOf(ctx context.Context, model string) (sample, error) {
	const batch = 128
	steps := func(t string) (result struct {
		PerSecond float64 `json:"samples_per_second"`
		Steps     int     `json:"steps"`
	}, cpu time.Duration, miB float64, err error,
	) {
		out, cpu, miB, err := b.child(ctx, b.binary, "model", "bench", model, "--batch", strconv.Itoa(batch), "--time", t,
			"--quiet", "--json")
		if err == nil {
			err = json.Unmarshal(out, &result)
		}
		return result, cpu, miB, err
	}
	short, fixed, _, err := steps("50ms")
	if err != nil {
		return sample{}, err
	}
	long, cpu, miB, err := steps("3s")
	if err != nil {
		return sample{}, err
	}
	n := float64(long.Steps-short.Steps) * batch
	return sample{
		perSecond: long.PerSecond, process: (cpu - fixed).Seconds() * 1e6 / n, residentMiB: miB,
	}, nil
}

// streaming measures a process that reads the topic of volumes as a group and writes to a topic. The first run of the
// process is for a group that has nothing to read; it shows what the start takes.
func (b *bench) streaming(ctx context.Context, run func(group, out string, n int) ([]string, error)) (sample, error) {
	b.run++
	group, out := fmt.Sprintf("bench-%d-%d", os.Getpid(), b.run), fmt.Sprintf("out-%d-%d", os.Getpid(), b.run)
	if err := b.topics.create(ctx, out); err != nil {
		return sample{}, err
	}
	once := func(n int) (cpu time.Duration, miB float64, err error) {
		args, err := run(group, out, n)
		if err != nil {
			return 0, 0, err
		}
		_, cpu, miB, err = b.child(ctx, args[0], args[1:]...)
		return cpu, miB, err
	}
	before, err := b.brokerTime()
	if err != nil {
		return sample{}, err
	}
	cpu, miB, err := once(b.total)
	if err != nil {
		return sample{}, err
	}
	after, err := b.brokerTime()
	if err != nil {
		return sample{}, err
	}
	n, span, err := b.topics.written(ctx, out)
	if err != nil {
		return sample{}, err
	}
	if n != b.total {
		return sample{}, fmt.Errorf("found %d messages on the topic %s, want %d", n, out, b.total)
	}
	fixed, _, err := once(0)
	if err != nil {
		return sample{}, err
	}
	return sample{
		perSecond: float64(n) / span.Seconds(), process: (cpu - fixed).Seconds() * 1e6 / float64(n),
		broker: (after - before).Seconds() * 1e6 / float64(n), residentMiB: miB,
	}, b.topics.remove(ctx, out)
}

// classify measures the command classify with a model.
func (b *bench) classify(model string, file bool) func(ctx context.Context) (sample, error) {
	return func(ctx context.Context) (sample, error) {
		return b.streaming(ctx, func(group, out string, _ int) ([]string, error) {
			args, err := b.classifying(model, volumesTopic, group, out, file)
			return append(args, "--once"), err
		})
	}
}

// classifying returns the command line of classify, from a topic to another topic and perhaps a file.
func (b *bench) classifying(model, in, group, out string, file bool) ([]string, error) {
	conf := filepath.Join(b.dir, group+".yaml")
	sinks := "\"kafka:" + out + "\""
	if file {
		sinks += ", \"" + filepath.Join(b.dir, group+".jsonl") + "\""
	}
	text := fmt.Sprintf("kafka:\n  volumes: %s\n  group: %s\nsinks:\n  kafka: false\n  terminal: false\n  out: [%s]\n",
		in, group, sinks)
	return []string{
		b.binary, "classify", "--brokers", b.brokers, "--model", model, "--quiet", "--config", conf,
	}, os.WriteFile(conf, []byte(text), 0o644)
}

// bare measures this program as "bare".
func (b *bench) bare(ctx context.Context) (sample, error) {
	self, err := os.Executable()
	if err != nil {
		return sample{}, err
	}
	return b.streaming(ctx, func(group, out string, n int) ([]string, error) {
		return []string{self, "bare", b.brokers, volumesTopic, out, group, strconv.Itoa(n)}, nil
	})
}

// ingest measures the command ingest.
func (b *bench) ingest(ctx context.Context) (sample, error) {
	b.run++
	topic := fmt.Sprintf("in-%d-%d", os.Getpid(), b.run)
	conf := filepath.Join(b.dir, topic+".yaml")
	if err := os.WriteFile(conf, []byte("kafka:\n  volumes: "+topic+"\n"), 0o644); err != nil {
		return sample{}, err
	}
	before, err := b.brokerTime()
	if err != nil {
		return sample{}, err
	}
	out, cpu, miB, err := b.child(ctx, b.binary, "ingest", b.archive, "--brokers", b.brokers, "--quiet", "--json",
		"--config", conf)
	if err != nil {
		return sample{}, err
	}
	after, err := b.brokerTime()
	if err != nil {
		return sample{}, err
	}
	var result struct {
		Volumes int     `json:"volumes"`
		Seconds float64 `json:"seconds"`
	}
	if err := json.Unmarshal(out, &result); err != nil {
		return sample{}, err
	}
	n := float64(result.Volumes)
	return sample{
		perSecond: n / result.Seconds, process: cpu.Seconds() * 1e6 / n, broker: (after - before).Seconds() * 1e6 / n,
		residentMiB: miB,
	}, b.topics.remove(ctx, topic)
}
