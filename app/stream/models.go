package stream

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/app/try"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/choice"
	"github.com/voxelstream/voxelstream/serve/classifier"
	"github.com/voxelstream/voxelstream/serve/explain"
	"github.com/voxelstream/voxelstream/serve/reply"
)

// network is the model that classifies, which clients of the HTTP listener can replace. It is safe for concurrent use.
type network struct {
	stage   *classify.Switch
	app     *app.Env
	choices *models.Choices

	explainer *explain.Explainer // nil without a listener

	changing sync.Mutex   // held while the model is replaced, and after Close
	asking   sync.RWMutex // read-locked while volumes of clients are classified, and locked after Close

	mu                sync.Mutex
	current, previous *loaded      // previous is nil before the first change
	trial             record.Model // zero if no model is on trial
}

// loaded is a model with the volumes that it takes.
type loaded struct {
	*models.Loaded
	input *classify.Input
}

var _ choice.Chooser = (*network)(nil)

// newNetwork prepares the network of the configured model.
func newNetwork(ctx context.Context, a *app.Env) (n *network, parallel int, err error) {
	n = &network{app: a, choices: models.NewChoices(a)}
	if a.HTTP != nil {
		if err := n.choices.Check(); err != nil {
			return nil, 0, err
		}
	}
	m, err := models.Configured(ctx, a)
	if err != nil {
		return nil, 0, err
	}
	pool, err := n.pool(m)
	if err != nil {
		return nil, 0, err
	}
	n.stage = classify.NewSwitch(pool)
	n.use(&loaded{m, pool.Input()})
	if a.HTTP != nil {
		n.explainer = explain.New(n.subject)
		n.explainer.Register(a.HTTP.Handle)
		choice.Register(n, a.HTTP.Handle)
		try.Register(a, n.find, a.HTTP.Handle)
		a.Live.Show("why", "models")
		a.Live.Describe("models", func() any {
			current, _ := n.inUse()
			return []choice.Model{describe(current)}
		})
	}
	return n, pool.Networks(), nil
}

// Close ends explanations and closes the network. No batch may be in progress.
func (n *network) Close() {
	n.changing.Lock() // for good
	if n.explainer != nil {
		n.explainer.Close()
	}
	n.asking.Lock() // for good
	n.stage.Close()
}

// find returns the model in use for requests of clients. It is the only one.
func (n *network) find(name, version string) (*classifier.Model, error) {
	current, _ := n.inUse()
	if name != "" && name != current.Info.Name || version != "" && version != current.Info.Version {
		return nil, reply.Errorf(http.StatusNotFound, "found no model %.128q, want %s",
			strings.TrimSuffix(name+"/"+version, "/"),
			current.Info.Name)
	}
	return &classifier.Model{Input: current.input, Classes: current.Classes, Classify: n.answer}, nil
}

// answer classifies volumes of clients, beside those of the pipeline.
func (n *network) answer(ctx context.Context, items []classify.Item) ([]record.Classification, error) {
	if !n.asking.TryRLock() {
		return nil, reply.Errorf(http.StatusServiceUnavailable, "the pipeline has ended")
	}
	defer n.asking.RUnlock()
	return n.stage.ProcessBatch(ctx, items)
}

// pool prepares networks of a model.
func (n *network) pool(m *models.Loaded) (*classify.Pool, error) {
	return classify.NewPool(m.Model, n.options(m), n.app.Config.Pipeline.Networks)
}

// options returns those of the networks of a model.
func (n *network) options(m *models.Loaded) classify.Options {
	c := n.app.Config
	return classify.Options{
		Model: m.Info, Preferences: classify.PreferencesIn(c.Voxelize),
		TopK: c.Model.TopK, Batch: c.Pipeline.Batch, Threads: n.app.Threads(), Observer: n.app.Observer,
	}
}

// use records that a model is in use.
func (n *network) use(m *loaded) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.previous, n.current = n.current, m
	n.app.Live.Classes(m.Model.Classes)
	n.announce()
}

// try records that a model is on trial, or none if m is zero.
func (n *network) try(m record.Model) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.trial = m
	n.announce()
}

// announce updates the metric that names the models. n.mu must be held.
func (n *network) announce() {
	if n.app.Metrics == nil {
		return
	}
	models := [][2]string{{n.current.Info.Name, n.current.Info.Version}}
	if n.trial != (record.Model{}) {
		models = append(models, [2]string{n.trial.Name, n.trial.Version})
	}
	n.app.Metrics.Models(models...)
}

// inUse returns the model in use and the one before it, which may be nil.
func (n *network) inUse() (current, previous *loaded) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.current, n.previous
}

// ClassName returns the name of a class of the model in use.
func (n *network) ClassName(class int) string {
	current, _ := n.inUse()
	return current.ClassName(class)
}

// Classes returns the names of the classes of the model in use, or nil.
func (n *network) Classes() []string {
	current, _ := n.inUse()
	return current.Model.Classes
}

// Models lists the models that can be chosen.
func (n *network) Models(ctx context.Context) (choice.Models, error) {
	all, err := n.choices.List(ctx)
	if err != nil {
		return choice.Models{}, err
	}
	current, previous := n.inUse()
	described := describe(current)
	described.Current = true
	out := choice.Models{}
	for _, m := range all {
		if m.Err == nil && m.Model == current.Info {
			described.Bytes = m.Bytes
			continue
		}
		d := choice.Model{
			Name: m.Name, Version: m.Version, Digest: m.Digest, State: choice.Available, Bytes: m.Bytes,
		}
		if previous != nil && m.Model == previous.Info {
			d = describe(previous)
			d.Bytes = m.Bytes
		}
		if m.Err != nil {
			d.State, d.Error = choice.Failed, m.Err.Error()
		}
		out.Models = append(out.Models, d)
	}
	out.Models = append([]choice.Model{described}, out.Models...)
	if previous != nil {
		out.Previous = &choice.Name{Name: previous.Info.Name, Version: previous.Info.Version}
	}
	return out, nil
}

// describe describes a model that is or was in use.
func describe(m *loaded) choice.Model { return choice.Describe(m.Info, m.Model, m.input) }

// change replaces the model by another choice.
func (n *network) change(ctx context.Context, load func() (*models.Loaded, error)) error {
	if !n.changing.TryLock() {
		return reply.Errorf(http.StatusConflict, "the model is being replaced already")
	}
	defer n.changing.Unlock()
	m, err := load()
	if err != nil {
		return err
	}
	current, _ := n.inUse()
	if m.Info == current.Info {
		return reply.Errorf(http.StatusConflict, "model %s, version %s, is in use already", m.Info.Name, m.Info.Version)
	}
	pool, err := n.pool(m) // which classifies an empty volume
	if err != nil {
		return &reply.Error{Status: http.StatusConflict, Err: err}
	}
	if err = ctx.Err(); err == nil {
		err = n.stage.Replace(pool)
	}
	if err != nil {
		pool.Close()
		return reply.Errorf(http.StatusConflict, "model %s, version %s: %w", m.Info.Name, m.Info.Version, err)
	}
	n.use(&loaded{m, pool.Input()})
	n.app.Log.Info("switched the model", "from", current.Info.Name, "from_version", current.Info.Version,
		"to", m.Info.Name, "to_version", m.Info.Version)
	return nil
}

// Switch replaces the model by one that can be chosen and takes the same volumes.
func (n *network) Switch(ctx context.Context, name choice.Name) error {
	return n.change(ctx, func() (*models.Loaded, error) {
		m, err := n.choices.Load(ctx, name.Name, name.Version)
		if err == nil {
			return m, nil
		}
		status := http.StatusConflict
		if errors.Is(err, models.ErrUnknown) {
			status = http.StatusNotFound
		}
		return nil, &reply.Error{Status: status, Err: err}
	})
}

// Rollback replaces the model by the one before it.
func (n *network) Rollback(ctx context.Context, _ string) error {
	return n.change(ctx, func() (*models.Loaded, error) {
		_, previous := n.inUse()
		if previous == nil {
			return nil, reply.Errorf(http.StatusConflict, "no other model was in use before")
		}
		return previous.Loaded, nil
	})
}

// subject returns a model to explain: the one in use or the one before it.
func (n *network) subject(text string) (explain.Subject, error) {
	name, version, _ := strings.Cut(text, "/")
	current, previous := n.inUse()
	for _, m := range []*loaded{current, previous} {
		if m != nil && (name == "" || name == m.Info.Name) && (version == "" || version == m.Info.Version) {
			return explain.Subject{Model: m.Model, Info: m.Info, Input: m.input}, nil
		}
	}
	return explain.Subject{}, explain.NotFound(text)
}
