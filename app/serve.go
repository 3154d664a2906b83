package app

import (
	"context"
	"errors"
	"time"

	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/internal/service"
	"github.com/voxelstream/voxelstream/telemetry"
)

// stopTime is how long work may take to end beyond pipeline.drain, which bounds the pipeline alone: the sinks and the
// connection to the cluster are closed after it.
const stopTime = 30 * time.Second

// Serve runs work beside the HTTP listener that the configuration asks for, which starts before it and stops after it;
// without one it only runs work. The Env that work gets has the listener, its metrics and their observer. /readyz says
// no until work calls [Env.Started].
func (a *Env) Serve(ctx context.Context, work func(ctx context.Context, a *Env) error) error {
	if a.Config.HTTP.Listen == "" {
		return work(ctx, a)
	}
	b := ReadBuild()
	env := *a
	env.Metrics = telemetry.New(telemetry.Options{Version: b.Version, Commit: b.Commit, Kernels: b.Tier, Workers: h5.Workers})
	env.Observer = env.Metrics
	env.HTTP = service.NewListener(a.Config.HTTP, a.Log)
	env.HTTP.Handle("GET /metrics", env.Metrics.Handler())
	env.starting = service.NewState("not started yet")
	env.HTTP.Health.Register("start", env.starting.Check)
	defer context.AfterFunc(ctx, env.HTTP.Health.Stopping)()
	result := make(chan error, 1)
	err := service.Run(ctx, a.Config.Pipeline.Drain+stopTime, env.HTTP.Part(), service.Part{Run: func(ctx context.Context) error {
		result <- work(ctx, &env)
		return nil
	}})
	select {
	case worked := <-result: // not by way of Run, which takes the end of ctx for none of work's errors
		return errors.Join(worked, err)
	default:
		return err
	}
}

// Started says that all checks are registered and the work proper begins.
func (a *Env) Started() {
	if a.starting != nil {
		a.starting.Set(nil)
	}
}

// Ready adds a check to those that /readyz asks, where there is a listener.
func (a *Env) Ready(name string, check service.Check) {
	if a.HTTP != nil {
		a.HTTP.Health.Register(name, check)
	}
}
