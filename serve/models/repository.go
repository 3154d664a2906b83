package models

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Repository holds models. It is safe for concurrent use.
type Repository struct {
	o Options

	loading sync.Mutex // held while a model is loaded: one at a time, which bounds memory

	mu     sync.RWMutex
	models map[string]*entry
	ready  bool
	closed bool
}

// entry is a model.
type entry struct {
	versions map[string]*version // that are loaded
	current  *version
	previous string // number of the version that was current before
	states   map[string]*state
	unloaded bool // by request, so the watcher leaves it alone
}

// state is what is known about a version that is or was to be loaded.
type state struct {
	source  source
	loading bool
	reason  string // why it could not be loaded
	tries   int
	retry   time.Time
}

// New returns a repository without models. Call LoadAll, then Watch, and finally Close.
func New(o Options) *Repository {
	if o.Observer == nil {
		o.Observer = unobserved{}
	}
	return &Repository{o: o, models: map[string]*entry{}}
}

func (r *Repository) changed(model, version, what string, err error) {
	if r.o.Changed != nil {
		r.o.Changed(model, version, what, err)
	}
}

// makeCurrent makes v the version for requests that name none.
func (e *entry) makeCurrent(v *version) {
	if e.current == v {
		return
	}
	if e.current != nil && e.current.number != v.number {
		e.previous = e.current.number
	}
	e.current = v
}

// LoadAll loads all models. Models of files that cannot be loaded are an error; those of the folder are not, because
// they may be incomplete still.
func (r *Repository) LoadAll(ctx context.Context) error {
	sources, err := r.sources()
	if err != nil {
		return err
	}
	for _, s := range sources {
		if err := r.loadSource(ctx, s); err != nil && (s.single || ctx.Err() != nil) {
			return fmt.Errorf("model %s: %w", s.name, err)
		}
	}
	r.mu.Lock()
	r.ready = true
	r.mu.Unlock()
	return nil
}

// Ready returns why the repository is not ready: LoadAll has not finished, or it is closed.
func (r *Repository) Ready(context.Context) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	switch {
	case r.closed:
		return errClosed
	case !r.ready:
		return errors.New("models are being loaded")
	}
	return nil
}

// loadSource loads a version and makes it current if it is the newest.
func (r *Repository) loadSource(ctx context.Context, s source) error {
	r.loading.Lock()
	defer r.loading.Unlock()
	r.mark(s, func(st *state) { st.loading = true })
	v, err := r.load(ctx, s)
	if err == nil {
		v.source = s
		err = r.install(s, v)
	}
	if err != nil {
		r.mark(s, func(st *state) { st.failed(err) })
		r.changed(s.name, s.number, "not loaded", err)
	}
	return err
}

// mark changes the state of a version.
func (r *Repository) mark(s source, f func(*state)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.models[s.name]
	if e == nil {
		e = &entry{versions: map[string]*version{}, states: map[string]*state{}}
		r.models[s.name] = e
	}
	st := e.states[s.number]
	if st == nil || st.source.signature != s.signature {
		st = &state{source: s}
		e.states[s.number] = st
	}
	f(st)
}

// failed records an error. The same file is tried again later, because it may be a copy that is not complete.
func (st *state) failed(err error) {
	const first, longest = 2 * time.Second, time.Minute
	st.loading, st.reason = false, err.Error()
	st.retry = time.Now().Add(min(longest, first<<min(st.tries, 10)))
	st.tries++
}

// install makes a loaded version available, and current if it is the newest. Versions above the limit are retired.
func (r *Repository) install(s source, v *version) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		v.close()
		return errClosed
	}
	e := r.models[s.name]
	delete(e.states, s.number) // a file's version has no number until it is loaded
	e.states[v.number] = &state{source: s}
	old := e.versions[v.number]
	e.versions[v.number] = v
	newest := e.current == nil || e.current == old || s.single || compareNumbers(v.number, e.current.number) > 0
	if newest {
		e.makeCurrent(v)
	}
	what := "loaded"
	if old != nil {
		what = "replaced"
		old.retire()
	}
	for len(e.versions) > r.o.Versions {
		r.retire(e, e.expendable())
	}
	r.o.Observer.ModelLoaded(v.name, v.number, true)
	r.changed(v.name, v.number, what, nil)
	return nil
}

// expendable returns the number of the version to give up: the lowest one of a folder, or the one of a file that was
// loaded first, but never the current one.
func (e *entry) expendable() string {
	others := slices.Collect(maps.Values(e.versions))
	others = slices.DeleteFunc(others, func(v *version) bool { return v == e.current })
	return slices.MinFunc(others, func(a, b *version) int {
		if a.source.single {
			return a.loaded.Compare(b.loaded)
		}
		return compareNumbers(a.number, b.number)
	}).number
}

// retire removes a version. It is closed when its requests are finished.
func (r *Repository) retire(e *entry, number string) {
	v := e.versions[number]
	delete(e.versions, number)
	delete(e.states, number)
	v.retire()
	r.o.Observer.ModelLoaded(v.name, number, false)
}

// Load loads a model, or loads it again, whether or not its files have changed.
func (r *Repository) Load(ctx context.Context, name string) error {
	sources, err := r.sources()
	if err != nil {
		return &Error{Reason: Failed, Err: err}
	}
	sources = slices.DeleteFunc(sources, func(s source) bool { return s.name != name })
	if len(sources) == 0 {
		return &Error{Reason: NotFound, Err: fmt.Errorf("failed to load '%.128s', no version is available", name)}
	}
	for _, s := range sources {
		if err := r.loadSource(ctx, s); err != nil {
			return &Error{Reason: Invalid, Err: fmt.Errorf("failed to load '%s' version %s: %w", name, s.number, err)}
		}
	}
	r.mu.Lock()
	r.models[name].unloaded = false
	r.mu.Unlock()
	return nil
}

// Unload removes all versions of a model. Their requests are finished. The watcher does not load the model again.
func (r *Repository) Unload(name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.models[name]
	if e == nil {
		return &Error{Reason: NotFound, Err: fmt.Errorf("unknown model: '%.128s' is not found", name)}
	}
	for n := range e.versions {
		st := e.states[n]
		r.retire(e, n)
		st.reason = "unloaded"
		e.states[n] = st
		r.changed(name, n, "unloaded", nil)
	}
	e.current, e.previous, e.unloaded = nil, "", true
	return nil
}

// Models describes all versions that are loaded, being loaded or failed, by name and version.
func (r *Repository) Models() []Status {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := []Status{}
	for name, e := range r.models {
		for n, st := range e.states {
			s := Status{Name: name, Version: n, State: StateUnavailable, Reason: st.reason}
			if v := e.versions[n]; v != nil {
				s.State, s.Current, s.Previous = StateReady, v == e.current, n == e.previous
				s.Model, s.Loaded = v.info, v.loaded
			} else if st.loading {
				s.State = StateLoading
			}
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), compareNumbers(a.Version, b.Version))
	})
	return out
}

// Close removes all models, waits until their requests are finished or ctx ends, and refuses further ones.
func (r *Repository) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	var all []*version
	for _, e := range r.models {
		for _, v := range e.versions {
			all = append(all, v)
			v.retire()
		}
		clear(e.versions)
		clear(e.states)
		e.current = nil
	}
	r.mu.Unlock()
	for _, v := range all {
		select {
		case <-v.gone:
		case <-ctx.Done():
			return fmt.Errorf("model %s: %d requests are not finished", v.name, v.pending.Load())
		}
	}
	return nil
}

// compareNumbers compares versions: as numbers if both are, else as text.
func compareNumbers(a, b string) int {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	if errX == nil && errY == nil {
		return cmp.Or(cmp.Compare(x, y), cmp.Compare(a, b))
	}
	return cmp.Compare(a, b)
}
