package stream

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/live/push"
	"github.com/voxelstream/voxelstream/ingest/live/stdin"
	"github.com/voxelstream/voxelstream/ingest/live/udp"
	"github.com/voxelstream/voxelstream/ingest/live/watch"
	"github.com/voxelstream/voxelstream/pipeline"
)

// door is a kind of input through which data arrives while we run.
type door struct {
	scheme string
	// check says whether an address can be understood.
	check func(address string) error
	open  func(ctx context.Context, a *app.Env, address string) (ingest.Source, error)
	// connect, in place of open, is that of a door on the bus, which settles and parks by itself.
	connect func(ctx context.Context, a *app.Env, b *bus, l *letters, address string) (pipeline.Source[ingest.Sample], error)
}

// doors are the live inputs, by how their addresses begin.
func doors() []door {
	return []door{
		{scheme: udp.Scheme, check: parses(udp.Parse), open: openUDP},
		{scheme: watch.Scheme, check: parses(watch.Parse), open: openWatch},
		{scheme: push.Scheme, check: parses(push.Parse), open: openPush},
		{scheme: topicScheme, check: parses(parseTopic), connect: connectTopic},
	}
}

// doorOf finds the door of an input; ok is false for a path.
func doorOf(input string) (door, bool) {
	if input == stdin.Name {
		return door{check: func(string) error { return nil }, open: openStdin}, true
	}
	for _, d := range doors() {
		if strings.HasPrefix(input, d.scheme) {
			return d, true
		}
	}
	return door{}, false
}

// endless tells whether nothing but a signal ends the reading of inputs, which then is no interruption.
func endless(inputs []string) bool {
	for _, in := range inputs {
		if d, live := doorOf(in); !live || d.scheme == "" {
			return false
		}
	}
	return len(inputs) > 0
}

func parses[T any](parse func(string) (T, error)) func(string) error {
	return func(address string) error {
		_, err := parse(address)
		return err
	}
}

func openUDP(ctx context.Context, a *app.Env, address string) (ingest.Source, error) {
	o, err := udp.Parse(address)
	if err != nil {
		return nil, err
	}
	o.Log = a.Log
	s, err := udp.Open(ctx, o)
	if err != nil {
		return nil, err // not a nil *udp.Source in an interface
	}
	a.Log.Info("listening", "address", s.Addr(), "sensor", o.Sensor.Name)
	return s, nil
}

func openWatch(_ context.Context, a *app.Env, address string) (ingest.Source, error) {
	o, err := watch.Parse(address)
	if err != nil {
		return nil, err
	}
	o.Read = a.Config.Ingest
	s, err := watch.Open(o)
	if err != nil {
		return nil, err
	}
	a.Log.Info("watching", "folder", o.Dir)
	return s, nil
}

func openPush(ctx context.Context, a *app.Env, address string) (ingest.Source, error) {
	o, err := push.Parse(address)
	if err != nil {
		return nil, err
	}
	o.Read = a.Config.Ingest
	s, err := push.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	a.Log.Info("listening", "address", push.Scheme+s.Addr()+"/v1/ingest/")
	return s, nil
}

func openStdin(ctx context.Context, a *app.Env, _ string) (ingest.Source, error) {
	return stdin.Open(ctx, os.Stdin, a.Config.Ingest)
}

// exist checks that all inputs are there, and that addresses can be understood, before work begins.
func exist(paths []string) error {
	var errs []error
	for _, p := range paths {
		if d, ok := doorOf(p); ok {
			if err := d.check(p); err != nil {
				errs = append(errs, app.Usage(err))
			}
			continue
		}
		if _, err := os.Stat(p); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
