// Package push takes files over HTTP: frames, clouds, grids, whatever ingest/formats reads.
//
//	POST /v1/ingest/NAME                 the body is one file; NAME is its name, whose extension helps where the content is ambiguous
//	POST /v1/ingest/ (multipart/form-data)  each part with a file name is one file
//
// Each request needs the header "Authorization: Bearer TOKEN". It is answered when every sample has been stored or
// has failed for good. The answer is JSON:
//
//	{"items":[{"name":"a.pcd","stream":"a.pcd-1f2e3d4c","samples":1},{"name":"b.pcd","samples":0,"error":"..."}]}
//
// with status 200 if all samples were stored, 422 if an item failed, 401 without the token, 408 for a body that comes
// too slowly, 413 for one above the limit, 429 with Retry-After while too many requests are in progress, 503 when the
// program ends first or cannot read the file because of a temporary problem, such as a full disk. The same file under
// the same name has the same IDs, so sending it again after a lost answer does no harm.
package push

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/live"
	"github.com/voxelstream/voxelstream/internal/clip"
	"github.com/voxelstream/voxelstream/internal/conns"
	"github.com/voxelstream/voxelstream/internal/durable"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/internal/quarantine"
	"github.com/voxelstream/voxelstream/internal/regular"
	"github.com/voxelstream/voxelstream/internal/transient"
)

const (
	// headerTime and bodyTime bound how long we wait for what a client sends, stallTime how long for the next byte of
	// it.
	headerTime = 10 * time.Second
	bodyTime   = 5 * time.Minute
	stallTime  = 30 * time.Second
	// idleTime bounds how long a client may keep a connection without a request.
	idleTime = time.Minute
	// maxItems bounds the files of one request.
	maxItems = 1024
	// minToken is the least length of a token: 128 bits in hexadecimal digits would be 32.
	minToken = 16
	// maxToken bounds a token, which clients send in a header.
	maxToken = 4096
	// maxTokenFile bounds the file of the token.
	maxTokenFile = 64 << 10
)

// Kind is that of files sent by HTTP.
var Kind = live.Kind{
	Name: "push", Scheme: "http", Form: "http://HOST:PORT?token-file=FILE", Example: "http://:8080?token-file=token",
	Doc: "Takes files by POST /v1/ingest/NAME with a bearer token. A request is answered when its samples are stored. " +
		"Status 503 means that the client should send the file again. " +
		"Without a host, all addresses of this machine are served. For HTTPS, put a reverse proxy in front.",
	Options: func() any { return &Options{Max: 256 << 20, Queue: 8} },
	New:     newInput,
}

// Options are those of an address.
type Options struct {
	TokenFile string       `yaml:"token_file" doc:"File whose first line is the bearer token that clients must send, of at least 16 characters. Required."`
	Max       option.Bytes `yaml:"max" unit:"B" min:"1B" doc:"Maximum request size."`
	State     string       `yaml:"state" doc:"File that records uploads in progress, for the quarantine. Default: in the data directory of the embedded broker, if there is one."`
	Queue     int          `yaml:"queue" min:"1" max:"65536" doc:"Maximum number of concurrent requests. Further requests are rejected with status 429."`
}

// Input is a parsed address.
type Input struct {
	// Address is HOST:PORT; without a host, all addresses of this machine.
	Address string
	// Token is what clients send, the first line of the token file.
	Token string
	Options

	headerTime, bodyTime, stallTime time.Duration
}

func newInput(target string, options any) (live.Input, error) {
	in := &Input{
		Address: strings.TrimSuffix(target, "/"), Options: *options.(*Options),
		headerTime: headerTime, bodyTime: bodyTime, stallTime: stallTime,
	}
	var errs []error
	if _, _, err := net.SplitHostPort(in.Address); err != nil || strings.ContainsAny(in.Address, "/@") {
		errs = append(errs, errors.New("found no host and port, want http://HOST:PORT?token-file=FILE"))
	}
	var err error
	if in.Token, err = readToken(in.TokenFile); err != nil {
		errs = append(errs, fmt.Errorf("token-file: %w", err))
	}
	return in, errors.Join(errs...)
}

var _ live.Opener = (*Input)(nil)

// Endless is true: requests may always arrive.
func (*Input) Endless() bool { return true }

// Open begins to listen.
func (in *Input) Open(ctx context.Context, s live.Services) (ingest.Source, error) {
	src, err := Open(ctx, in, s)
	if err != nil {
		return nil, err // not a nil *Source in an interface
	}
	s.Log.Info("listening", "address", "http://"+src.Addr()+"/v1/ingest/")
	return src, nil
}

// readToken reads the first line of a file.
func readToken(path string) (string, error) {
	if path == "" {
		return "", errors.New("found nothing, want the name of a file with the bearer token")
	}
	data, err := regular.ReadSetting(path, maxTokenFile)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	if len(line) > maxToken {
		return "", fmt.Errorf("%s: found a first line of more than %d bytes, want a token", path, maxToken)
	}
	line = strings.TrimSpace(line)
	if len(line) < minToken {
		return "", fmt.Errorf("%s: found a token of %d characters, want a file of %d or more", path, len(line),
			minToken)
	}
	return line, nil
}

// Item is what became of one file.
type Item struct {
	Name    string `json:"name"`
	Stream  string `json:"stream,omitempty"`
	Samples int    `json:"samples"`
	Error   string `json:"error,omitempty"`
}

// sent is a sample in flight, and where its outcome is waited for.
type sent struct {
	sample ingest.Sample
	answer chan<- error
}

type id struct {
	stream string
	seq    uint64
}

// Source is the HTTP server. It ends with its context only.
type Source struct {
	in       *Input
	services live.Services
	token    [sha256.Size]byte
	server   *http.Server
	addr     net.Addr
	dir      string // of the files of requests
	remove   func() error
	places   chan struct{}
	queue    chan sent
	closed   chan struct{}
	failed   chan error // of the server
	journal  *quarantine.Journal
	done     sync.WaitGroup
	once     sync.Once

	mu      sync.Mutex
	waiting map[id][]chan<- error
}

var _ live.Settler = (*Source)(nil)

// Open begins to listen.
func Open(ctx context.Context, in *Input, services live.Services) (*Source, error) {
	dir, remove, err := durable.TempDir("", "push")
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", in.Address)
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	s := &Source{
		in: in, services: services, token: sha256.Sum256([]byte(in.Token)), addr: l.Addr(), dir: dir,
		remove: remove,
		places: make(chan struct{}, in.Queue), queue: make(chan sent), closed: make(chan struct{}),
		waiting: map[id][]chan<- error{}, failed: make(chan error, 1),
	}
	s.openJournal()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/ingest/{name...}", s.serve)
	s.server = &http.Server{
		Handler: mux, ReadHeaderTimeout: in.headerTime, ReadTimeout: in.bodyTime, IdleTimeout: idleTime,
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(services.Log.Handler(), slog.LevelDebug),
	}
	limited := conns.Process().Listen(l, s.server, services.Log, services.SetReady)
	s.done.Go(func() { s.failed <- s.server.Serve(limited) }) // it ends by Close, or if the socket fails
	return s, nil
}

// openJournal opens the journal of uploads. Without one, all are read.
func (s *Source) openJournal() {
	path := s.in.State
	if path == "" && s.services.StateDir != "" {
		path = filepath.Join(s.services.StateDir,
			"reading-"+strings.NewReplacer(":", "_", "/", "_").Replace(s.in.Address))
	}
	if path == "" {
		return
	}
	var err error
	if s.journal, err = quarantine.Open(path, s.services.Log); err != nil {
		s.services.Log.Warn("uploads that kill the process will not be quarantined", "error", err)
	}
}

// Addr is where the server listens.
func (s *Source) Addr() string { return s.addr.String() }

// Read waits for the next sample.
func (s *Source) Read(ctx context.Context) (ingest.Sample, error) {
	select {
	case <-ctx.Done():
		return ingest.Sample{}, ctx.Err()
	case <-s.closed:
		return ingest.Sample{}, io.EOF
	case err := <-s.failed:
		if errors.Is(err, http.ErrServerClosed) {
			return ingest.Sample{}, io.EOF
		}
		return ingest.Sample{}, fmt.Errorf("%v: the server has ended: %w", s.addr, err)
	case in := <-s.queue:
		key := id{in.sample.Stream, in.sample.Seq}
		s.mu.Lock()
		s.waiting[key] = append(s.waiting[key], in.answer)
		s.mu.Unlock()
		return in.sample, nil
	}
}

// Settle answers those who wait for a sample.
func (s *Source) Settle(stream string, seq uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := id{stream, seq}
	for _, answer := range s.waiting[key] {
		answer <- err // it has room
	}
	delete(s.waiting, key)
}

// Close ends all requests.
func (s *Source) Close() error {
	var err error
	s.once.Do(func() {
		close(s.closed)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err = s.server.Shutdown(ctx); err != nil { // somebody is slow to send
			err = s.server.Close()
		}
		s.done.Wait()
		err = errors.Join(err, s.remove(), s.journal.Close())
	})
	return err
}

// serve handles a request.
func (s *Source) serve(w http.ResponseWriter, r *http.Request) {
	s.services.Count(live.Request, 1)
	shown, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if sum := sha256.Sum256([]byte(shown)); !ok || subtle.ConstantTimeCompare(sum[:], s.token[:]) != 1 {
		w.Header().Set("WWW-Authenticate", "Bearer")
		s.refuse(w, http.StatusUnauthorized, "want the bearer token")
		return
	}
	if r.ContentLength > int64(s.in.Max) {
		s.refuse(w, http.StatusRequestEntityTooLarge,
			fmt.Sprintf("found %d bytes, limit %d", r.ContentLength, int64(s.in.Max)))
		return
	}
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	default:
		w.Header().Set("Retry-After", "1")
		s.refuse(w, http.StatusTooManyRequests, fmt.Sprintf("%d requests are in progress", s.in.Queue))
		return
	}
	body := &bodyReader{
		ReadCloser: r.Body, control: http.NewResponseController(w), left: s.in.bodyTime,
		each: s.in.stallTime,
	}
	r.Body = http.MaxBytesReader(w, body, int64(s.in.Max))
	items, err := s.take(r)
	var large *http.MaxBytesError
	var broken *bodyError
	switch {
	case errors.As(err, &large):
		s.refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("found more than %d bytes, the limit", large.Limit))
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		s.refuse(w, http.StatusRequestTimeout, "the body came too slowly")
	case errors.Is(err, errClosed):
		s.refuse(w, http.StatusServiceUnavailable, err.Error())
	case transient.Is(err) && !errors.As(err, &broken) && r.Context().Err() == nil:
		s.services.Count(live.Postponed, 1)
		s.services.Log.Warn("an upload cannot be read; the client is asked to send again", "error", err)
		w.Header().Set("Retry-After", "10")
		s.refuse(w, http.StatusServiceUnavailable, "cannot be read for a reason that may pass; send again")
	case err != nil:
		s.refuse(w, http.StatusBadRequest, err.Error())
	default:
		status := http.StatusOK
		for _, i := range items {
			if i.Error != "" {
				status = http.StatusUnprocessableEntity
			}
		}
		respond(w, status, map[string]any{"items": items})
	}
}

// bodyReader reads a body with a limit on the time that is spent waiting for it; the time between, while its samples
// are worked on, does not count.
type bodyReader struct {
	io.ReadCloser
	control    *http.ResponseController
	left, each time.Duration
}

func (p *bodyReader) Read(b []byte) (int, error) {
	begin := time.Now()
	if err := p.control.SetReadDeadline(begin.Add(min(p.left, p.each))); err != nil {
		return 0, err
	}
	n, err := p.ReadCloser.Read(b)
	p.left -= time.Since(begin)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &bodyError{err}
	}
	return n, err
}

// bodyError is an error of the connection to a client.
type bodyError struct{ error }

func (e *bodyError) Unwrap() error { return e.error }

func (s *Source) refuse(w http.ResponseWriter, status int, text string) {
	s.services.Count(live.Refused, 1)
	respond(w, status, map[string]any{"error": text})
}

func respond(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

// errClosed says that the program ends.
var errClosed = errors.New("the program ends; send again")

// take reads the files of a request one after the other.
func (s *Source) take(r *http.Request) ([]Item, error) {
	dir, err := os.MkdirTemp(s.dir, "")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // Close removes the folder above
	parts, err := r.MultipartReader()
	if errors.Is(err, http.ErrNotMultipart) {
		item, err := s.item(r.Context(), dir, r.PathValue("name"), r.Body)
		return []Item{item}, err
	}
	items := []Item{}
	for err == nil {
		var part interface {
			io.Reader
			FileName() string
		}
		if part, err = parts.NextPart(); err == nil && part.FileName() != "" {
			if len(items) == maxItems {
				return items, fmt.Errorf("found more than %d files", maxItems)
			}
			var item Item
			item, err = s.item(r.Context(), dir, part.FileName(), part)
			items = append(items, item)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
		if len(items) == 0 {
			err = errors.New("found no part with a file name")
		}
	}
	return items, err
}

// item reads one file and waits for its samples. The error ends the request; what is wrong with the file alone is in
// the Item.
func (s *Source) item(ctx context.Context, dir, name string, body io.Reader) (Item, error) {
	item := Item{Name: filepath.Base(name)}
	if item.Name == "." || item.Name == ".." || item.Name == "/" || len(item.Name) > 200 ||
		strings.ContainsAny(item.Name, "\x00\\/") {
		return item, fmt.Errorf("found file name %.40q, want one of 1 to 200 characters: POST /v1/ingest/NAME", name)
	}
	path := filepath.Join(dir, item.Name)
	f, err := os.Create(path)
	if err != nil {
		return item, err
	}
	_, err = io.Copy(f, body)
	if err = errors.Join(err, f.Close()); err != nil {
		return item, err
	}
	defer os.Remove(path) //nolint:errcheck // the folder is removed, too
	s.services.Count(live.File, 1)
	err = s.judged(ctx, path, &item)
	if err != nil && !errors.Is(err, errClosed) && ctx.Err() == nil && !transient.Is(err) {
		item.Error, err = strings.ReplaceAll(clip.Text(err.Error()), path, item.Name), nil
	}
	return item, err
}

// judged reads a file unless the process died twice when it did.
func (s *Source) judged(ctx context.Context, path string, item *Item) error {
	key, err := ingest.StreamName(path)
	if err != nil {
		return err
	}
	begun, err := s.journal.Begin(ctx, key)
	if _, ok := errors.AsType[*quarantine.Error](err); ok {
		s.services.Count(live.Quarantined, 1)
		s.services.Log.Warn("refused an upload", "name", item.Name, "error", err)
	}
	if err != nil {
		return err
	}
	err = s.samples(ctx, path, item)
	if errors.Is(err, errClosed) || ctx.Err() != nil || transient.Is(err) {
		begun.Leave()
	} else {
		begun.End()
	}
	return err
}

// window is how many samples of a file are in flight at once.
const window = 64

// samples gives the samples of a file to the reader and waits for their outcome. The error is the first that there
// was, or one that ends all.
func (s *Source) samples(ctx context.Context, path string, item *Item) (err error) {
	src, err := s.services.OpenFile(ctx, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	answers, open := make(chan error, window), 0
	var failed error // the first of an item
	for {
		sample, err := src.Read(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		switch _, ok := errors.AsType[*ingest.ItemError](err); {
		case err == nil:
			item.Stream = sample.Stream
			if open == window { // a client that sends faster than the network classifies waits here
				if err := s.outcome(ctx, answers, item, &failed); err != nil {
					return err
				}
				open--
			}
			if err := s.pass(ctx, sent{sample, answers}); err != nil {
				return err
			}
			open++
		case ok && ctx.Err() == nil:
			failed = cmp.Or(failed, err)
		default:
			return err
		}
	}
	for range open {
		if err := s.outcome(ctx, answers, item, &failed); err != nil {
			return err
		}
	}
	return failed
}

// pass gives a sample to the reader.
func (s *Source) pass(ctx context.Context, in sent) error {
	select {
	case s.queue <- in:
		return nil
	case <-s.closed:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// outcome waits for what became of one sample.
func (s *Source) outcome(ctx context.Context, answers <-chan error, item *Item, failed *error) error {
	select {
	case err := <-answers:
		if err == nil {
			item.Samples++
		}
		*failed = cmp.Or(*failed, err)
		return nil
	case <-s.closed:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}
