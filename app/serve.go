package app

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/internal/service"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/serve/live"
	"github.com/voxelstream/voxelstream/serve/page"
	"github.com/voxelstream/voxelstream/telemetry"
)

// stopTime is the additional time for shutdown after pipeline.drain, which only bounds the pipeline. Sinks and the
// connection to the cluster are closed after it.
const stopTime = 30 * time.Second

// Serve runs work with the configured HTTP listener, if any. The listener starts before work and stops after it. The
// Env passed to work has the listener, its metrics and their observer. /readyz fails until work calls [Env.Started].
func (a *Env) Serve(ctx context.Context, work func(ctx context.Context, a *Env) error) error {
	b := ReadBuild()
	env := *a
	tracer, end, err := telemetry.NewTracer(ctx, a.Config.Telemetry.Traces, b.Version, a.Log)
	if err != nil {
		return err
	}
	defer func() {
		if err := end(); err != nil {
			a.Log.Warn("the last traces were not sent", "error", err)
		}
	}()
	env.Tracer = tracer
	if a.Config.HTTP.Listen == "" {
		return work(ctx, &env)
	}
	env.Metrics = telemetry.New(telemetry.Options{
		Version: b.Version, Commit: b.Commit, Kernels: b.Tier,
		Workers: h5.Workers,
	})
	env.Live = live.New(a.Log)
	defer env.Live.Close()
	env.Live.Describe("build", func() any { return b })
	env.Observer = pipeline.Observers(env.Metrics, env.Live.Stats)
	env.HTTP = service.NewListener(a.Config.HTTP, a.Log)
	env.HTTP.Handle("GET /metrics", env.Metrics.Handler())
	env.HTTP.Handle("/", page.Handler()) // any method: paths such as /v2 take all
	env.HTTP.Handle("GET /live", env.Live)
	env.HTTP.Handle("GET /api/status", http.HandlerFunc(env.Live.Status))
	env.HTTP.Handle("GET /api/run", http.HandlerFunc(env.Live.Running))
	env.starting = service.NewState("not started yet")
	env.HTTP.Health.Register("start", env.starting.Check)
	defer context.AfterFunc(ctx, env.HTTP.Health.Stopping)()
	result := make(chan error, 1)
	err = service.Run(ctx, a.Config.Pipeline.Drain+stopTime, env.HTTP.Part(),
		service.Part{Run: func(ctx context.Context) error {
			env.Line("The page is on " + env.HTTP.URL())
			env.Live.Describe("authenticated", func() any { return env.HTTP.Authenticated() })
			result <- work(ctx, &env)
			return nil
		}})
	select {
	case worked := <-result: // not returned through Run, which drops errors caused by the end of ctx
		return errors.Join(worked, err)
	default:
		return err
	}
}

// Started reports that all readiness checks are registered and the work has started.
func (a *Env) Started() {
	if a.starting != nil {
		a.starting.Set(nil)
	}
}

// Ready adds a readiness check to /readyz. It does nothing without a listener.
func (a *Env) Ready(name string, check service.Check) {
	if a.HTTP != nil {
		a.HTTP.Health.Register(name, check)
	}
}
