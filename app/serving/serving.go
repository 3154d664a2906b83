// Package serving runs the inference server.
package serving

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/app/try"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/internal/conns"
	"github.com/voxelstream/voxelstream/internal/service"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/choice"
	"github.com/voxelstream/voxelstream/serve/classifier"
	"github.com/voxelstream/voxelstream/serve/explain"
	served "github.com/voxelstream/voxelstream/serve/models"
	"github.com/voxelstream/voxelstream/serve/training"
	v2 "github.com/voxelstream/voxelstream/serve/v2"
	"github.com/voxelstream/voxelstream/serve/v2/grpc"
)

// Repository returns the configured models, which are not loaded yet.
func Repository(a *app.Env) *served.Repository {
	c := &a.Config.Serve
	o := served.Options{
		Settings: c.Settings, Files: c.Models, Threads: a.Threads(),
		Classify: classify.Options{Preferences: classify.PreferencesIn(a.Config.Voxelize), TopK: a.Config.Model.TopK},
		Load: func(ctx context.Context, path string) (*nn.Model, record.Model, error) {
			m, err := models.LoadConfigured(ctx, a, path)
			if err != nil {
				return nil, record.Model{}, err
			}
			return m.Model, m.Info, nil
		},
		Changed: func(model, version, what string, err error) {
			log := a.Log.With(slog.String("model", model), slog.String("version", version))
			if err != nil {
				log.Warn("model "+what, "error", err)
				return
			}
			log.Info("model " + what)
		},
	}
	if len(o.Files) == 0 && o.Folder == "" {
		o.Files = []string{a.Config.Model.Path}
		if a.Config.Model.Path == "" {
			o.Files = []string{models.Builtin + "="}
		}
	}
	if a.Metrics != nil {
		o.Observer = a.Metrics
	}
	return served.New(o)
}

// Serve serves the configured models until ctx ends, and then finishes the requests in progress. /readyz fails until
// every model is loaded and warmed up.
func Serve(ctx context.Context, a *app.Env) error {
	if a.HTTP == nil {
		return app.Usage(errors.New("http.listen: found no address, want one to serve on"))
	}
	c := &a.Config.Serve
	repository := Repository(a)
	a.Ready("models", repository.Ready)
	api := v2.New(v2.Options{
		Models: repository, Version: app.ReadBuild().Version, Control: c.Control,
		MaxBody: int64(c.MaxBody), MaxMemory: int64(c.MaxMemory), Budget: a.Config.Ingest.Budget,
		Ready: func(ctx context.Context) error {
			if r := a.HTTP.Health.Ready(ctx); !r.Ready {
				return fmt.Errorf("not ready: %s", r.Reasons())
			}
			return nil
		},
	})
	var progress progress
	a.HTTP.Handle("/v2", api)
	a.HTTP.Handle("/v2/", progress.count(api))
	try.Register(a, classifier.Of(repository), func(pattern string, h http.Handler) {
		a.HTTP.Handle(pattern, progress.count(h))
	})
	choice.Register(choice.Of(repository, c.Control), a.HTTP.Handle)
	explainer := explain.New(explain.Of(repository))
	defer explainer.Close()
	explainer.Register(a.HTTP.Handle)
	a.Live.Describe("mode", func() any { return "serve" })
	a.Live.Describe("models", func() any { return repository.Models() })
	a.Live.Show("why", "models")
	if c.TrainLog != "" {
		log := training.NewLog(c.TrainLog)
		if _, _, err := log.State(); err != nil {
			return app.Usage(fmt.Errorf("serve.train_log: %w", err))
		}
		training.Register(log, a.HTTP.Handle)
		a.Live.Show("train")
	}
	rpc, err := listenGRPC(ctx, a, repository)
	if err != nil {
		return err
	}
	if err = repository.LoadAll(ctx); err == nil {
		a.Started()
		a.Log.Info("serving", "url", a.HTTP.Base().JoinPath("v2").String())
		repository.Watch(ctx)
		<-ctx.Done()
	} else if ctx.Err() != nil {
		err = nil // stopped while it was loading
	}
	// The listener still accepts requests, since clients may not know yet that the server stops.
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.Config.Pipeline.Drain)
	defer cancel()
	progress.drain(drain, a.Abort)
	return errors.Join(err, rpc(drain), repository.Close(drain))
}

// allow checks the tokens of gRPC clients, which have the same roles as those of HTTP.
func allow(l *service.Listener) func(token string, n grpc.Need) (valid, permitted bool) {
	if !l.Authenticated() {
		return nil
	}
	roles := map[grpc.Need][]service.Role{
		grpc.Look: {service.Read, service.Ingest}, grpc.Infer: {service.Ingest}, grpc.Control: {},
	}
	return func(token string, n grpc.Need) (valid, permitted bool) {
		err := l.Allow(token, roles[n]...)
		return !errors.Is(err, service.ErrToken), err == nil
	}
}

// listenGRPC serves gRPC if an address is configured. It returns a function that ends it.
func listenGRPC(
	ctx context.Context, a *app.Env, repository *served.Repository,
) (stop func(context.Context) error, err error) {
	c := &a.Config.Serve
	if c.GRPC == "" {
		return func(context.Context) error { return nil }, nil
	}
	host, port, err := net.SplitHostPort(c.GRPC)
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(cmp.Or(host, "127.0.0.1"), port))
	if err != nil {
		return nil, fmt.Errorf("serve.grpc: %w", err)
	}
	at, ok := l.Addr().(*net.TCPAddr)
	if !a.HTTP.Authenticated() && !(ok && at.IP.IsLoopback()) {
		return nil, errors.Join(app.Usage(fmt.Errorf("serve.grpc: %s is open to other machines and needs a token: set "+
			"http.token_file, http.token or http.tokens", l.Addr())), l.Close())
	}
	s := grpc.New(grpc.Options{
		Allow: allow(a.HTTP), Models: repository, Version: app.ReadBuild().Version, MaxMessage: int(c.MaxBody),
		Control: c.Control, TLS: a.HTTP.TLS(),
	})
	a.Log.Info("listening for gRPC", "address", l.Addr().String(), "tls", a.Config.HTTP.CertFile != "")
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(conns.Process().Listen(l, nil, a.Log, nil)) }()
	return func(ctx context.Context) error {
		s.Stop(ctx)
		return <-ended
	}, nil
}
