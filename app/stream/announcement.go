package stream

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/internal/regular"
	"github.com/voxelstream/voxelstream/pipeline"
)

const (
	// announcementPoll is how often the file is read. A model that was refused is tried again after that time, then after
	// twice as long, up to announcementRetry.
	announcementPoll  = time.Second
	announcementRetry = time.Minute
	// maxAnnouncement is the maximum size of the file in bytes.
	maxAnnouncement = 64 << 10
)

// announcement names the model to use.
type announcement struct {
	// Model is the path of a model file. A relative path begins at the folder of the announcement.
	Model string `json:"model"`
	// SHA256 is the digest of the model file in hexadecimal.
	SHA256 string `json:"sha256"`
}

// readAnnouncement reads the bytes of an announcement.
func readAnnouncement(path string) ([]byte, error) {
	f, _, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	b, err := io.ReadAll(io.LimitReader(f, maxAnnouncement+1))
	if err == nil && len(b) > maxAnnouncement {
		err = fmt.Errorf("%s: found more than %d bytes, want the name and the digest of a model", path, maxAnnouncement)
	}
	return b, err
}

// parseAnnouncement parses the content of the file at path. The path of the model is relative to the working directory
// afterwards.
func parseAnnouncement(path string, content []byte) (a announcement, err error) {
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if err = d.Decode(&a); err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("found more than one JSON value")
		}
	}
	if err == nil {
		if b, bad := hex.DecodeString(a.SHA256); bad != nil || len(b) != 32 || a.Model == "" {
			err = fmt.Errorf("found model %.128q, SHA-256 %.128q", a.Model, a.SHA256)
		}
	}
	if err != nil {
		return a, fmt.Errorf(`%s: %w, want {"model": "FILE", "sha256": "64 hexadecimal digits"}`, path, err)
	}
	if !filepath.IsAbs(a.Model) {
		a.Model = filepath.Join(filepath.Dir(path), a.Model)
	}
	a.SHA256 = strings.ToLower(a.SHA256)
	return a, nil
}

// announced watches the announcement and makes the network use the model that it names.
type announced struct {
	app     *app.Env
	network *network
	path    string

	content []byte // that was read last
	used    bool   // the model that content names came into use
	retry   time.Time
	wait    time.Duration
	problem string // that was logged last

	stop context.CancelFunc
	done chan struct{}
}

// newAnnounced checks the announcement for the first time and watches it from then on. It returns nil if none is
// configured.
func newAnnounced(ctx context.Context, a *app.Env, n *network) *announced {
	path := a.Config.Model.Announcement
	if path == "" {
		return nil
	}
	w := &announced{app: a, network: n, path: path, done: make(chan struct{})}
	w.check(ctx, time.Now())
	ctx, w.stop = context.WithCancel(context.WithoutCancel(ctx))
	go w.watch(ctx)
	return w
}

// Close ends the watch.
func (w *announced) Close() {
	if w != nil {
		w.stop()
		<-w.done
	}
}

func (w *announced) watch(ctx context.Context) {
	defer close(w.done)
	t := time.NewTicker(announcementPoll)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			w.check(ctx, now)
		}
	}
}

// check uses the announced model if the announcement has changed, or if an attempt is due again.
func (w *announced) check(ctx context.Context, now time.Time) {
	content, err := readAnnouncement(w.path)
	if errors.Is(err, fs.ErrNotExist) { // not written yet, or removed: nothing is announced
		w.say(w.app.Log.Warn, "found no announced model; the one in use remains", err)
		return
	}
	changed := err == nil && !bytes.Equal(content, w.content)
	if !changed && err == nil && w.used {
		w.problem = "" // it could not be read for a while
		return
	}
	if !changed && now.Before(w.retry) {
		return
	}
	if changed {
		w.content, w.wait = content, 0
	}
	if err == nil { // a file that cannot be read announces nothing new
		err = w.use(ctx)
		w.used = err == nil
	}
	if err == nil {
		w.problem = ""
		return
	}
	if ctx.Err() != nil {
		return
	}
	w.wait = min(max(announcementPoll, 2*w.wait), announcementRetry)
	w.retry = now.Add(w.wait)
	pipeline.Observed(w.app.Observer).Count("announcement", pipeline.EventModelRefused, 1)
	w.say(w.app.Log.Error, "the announced model was refused; the one in use remains", err)
}

// say logs a problem, unless it is the one that was logged last.
func (w *announced) say(log func(string, ...any), what string, err error) {
	if err.Error() == w.problem {
		return
	}
	w.problem = err.Error()
	current, _ := w.network.inUse()
	log(what, "error", err, "model", current.Info.Name, "version", current.Info.Version)
}

// use makes the network use the announced model.
func (w *announced) use(ctx context.Context) error {
	a, err := parseAnnouncement(w.path, w.content)
	if err != nil {
		return err
	}
	if current, _ := w.network.inUse(); current.Info.Digest == a.SHA256 {
		return nil
	}
	return w.network.change(ctx, func() (*models.Loaded, error) {
		return models.LoadChecked(ctx, w.app, a.Model, a.SHA256)
	})
}
