package stream

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/serve/frame"
	"github.com/voxelstream/voxelstream/serve/history"
	"github.com/voxelstream/voxelstream/serve/live"
)

// request sends a request to the listener and returns the body.
func request(t *testing.T, a *app.Env, method, path, body string, status int) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+a.HTTP.Addr()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || res.StatusCode != status {
		t.Fatalf("%s %s: found %d %.300s, %v, want %d", method, path, res.StatusCode, b, err, status)
	}
	return b
}

func decoded[T any](t *testing.T, b []byte) (out T) {
	t.Helper()
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatalf("%v in %.300s", err, b)
	}
	return out
}

// TestPageIsLive: a page that is open while a pipeline runs receives frames with what the sensor saw, the volume and
// the classification.
func TestPageIsLive(t *testing.T) {
	dir := t.TempDir()
	a := apptest.New(t, "broker.data_dir", filepath.Join(dir, "kafka"), "sinks.out", filepath.Join(dir, "c.jsonl"),
		"http.listen", ":0")
	err := a.Serve(t.Context(), func(ctx context.Context, a *app.Env) error {
		conn, _, err := websocket.Dial(ctx, "ws://"+a.HTTP.Addr()+"/live", nil)
		if err != nil {
			return err
		}
		defer conn.CloseNow() //nolint:errcheck // the server may have closed it
		conn.SetReadLimit(frame.MaxSize)
		hello := `{"type":"hello","streams":["*"],"points":20,"rate":60}`
		if err := conn.Write(ctx, websocket.MessageText, []byte(hello)); err != nil {
			return err
		}
		if _, _, err := conn.Read(ctx); err != nil { // the run frame: the hello was handled
			return err
		}
		s, err := Run(ctx, a, clouds(t, 3))
		if err != nil {
			return err
		}
		streams := map[string]bool{}
		for len(streams) < 3 {
			_, b, err := conn.Read(ctx)
			if err != nil {
				return err
			}
			m, err := frame.Decode(b)
			if err != nil {
				return err
			}
			if m.Type != frame.TypeFrame {
				continue
			}
			var h frame.Header
			if err := m.Into(&h); err != nil {
				return err
			}
			v, err := m.Volume()
			if err != nil || v.Dims != [3]int{16, 16, 16} || h.Sensor.Kind != frame.KindCloud ||
				h.Sensor.Points != 20 ||
				h.LeftOut != 20 || h.Classification.EventID != h.EventID {
				t.Errorf("found %+v, %+v, %v", h, h.Sensor, err)
			}
			streams[h.Stream] = true
			if err := conn.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"type":"ack","n":%d}`, h.N)); err != nil {
				return err
			}
		}
		run := decoded[live.Run](t, request(t, a, "GET", "/api/run", "", 200))
		names := map[string]bool{}
		for _, stage := range run.Stages {
			names[stage.Name] = true
		}
		if run.Total != int64(s.Classified) || !names["voxelize"] || !names["queue"] || !names["inference"] ||
			!names[filepath.Join(dir, "c.jsonl")] {
			t.Errorf("found %+v", run)
		}
		status := decoded[map[string]any](t, request(t, a, "GET", "/api/status", "", 200))
		if status["mode"] != "run" || !strings.Contains(fmt.Sprint(status["views"]), "live run history") {
			t.Errorf("found %v", status)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestHistory: while a pipeline runs, the page finds every classification of the topic by its offset, with its volume,
// and dead letters, which it sends back.
func TestHistory(t *testing.T) {
	dir := t.TempDir()
	common := []string{
		"broker.data_dir", filepath.Join(dir, "kafka"), "sinks.out", filepath.Join(dir, "c.jsonl"), "http.listen", ":0",
		"kafka.partitions", "2",
	}
	a := apptest.New(t, common...)
	if _, err := Run(t.Context(), a, clouds(t, 12)); err != nil {
		t.Fatal(err)
	}
	// A volume of another size becomes a dead letter.
	if _, err := Ingest(t.Context(), apptest.New(t, append(common, "voxelize.grid", "8")...),
		clouds(t, 1)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := a.Serve(ctx, func(ctx context.Context, a *app.Env) error {
		ended := make(chan error, 1)
		go func() {
			_, err := Classify(ctx, a, false)
			ended <- err
		}()
		for {
			if r := a.HTTP.Health.Ready(ctx); r.Ready {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		checkFrames(t, a)
		checkLetters(t, a)
		cancel()
		return <-ended
	})
	if err != nil && ctx.Err() == nil {
		t.Error(err)
	}
}

func checkFrames(t *testing.T, a *app.Env) {
	t.Helper()
	type timeline struct {
		Topic      string
		Partitions []history.Partition
	}
	line := decoded[timeline](t, request(t, a, "GET", "/api/timeline", "", 200))
	seen, marks := map[string]bool{}, 0
	for _, p := range line.Partitions {
		classes, first := map[int][]int64{}, p.Next
		for offset := int64(0); offset < p.Next; offset++ {
			path := fmt.Sprintf("/api/frame?partition=%d&offset=%d", p.Partition, offset)
			m, err := frame.Decode(request(t, a, "GET", path, "", 200))
			if err != nil {
				t.Fatal(err)
			}
			var h frame.Header
			if err := m.Into(&h); err != nil {
				t.Fatal(err)
			}
			v, err := m.Volume()
			if err != nil || v.ID.String() != h.EventID || h.Offset.Topic != "classifications" ||
				h.Offset.Partition != p.Partition || h.Offset.Offset < p.First || h.Offset.Offset >= p.Next {
				t.Errorf("found %+v, %+v, %v", h, h.Offset, err)
			}
			if h.Offset.Offset != offset { // the mark of a claim is there, so this is the next frame
				marks++
				continue
			}
			seen[h.EventID] = true
			classes[h.Classification.Class] = append(classes[h.Classification.Class], offset)
			first = min(first, offset)
		}
		if p.Next > p.First && (p.FirstTime.IsZero() || p.LastTime.Before(p.FirstTime)) {
			t.Errorf("found %+v", p)
		}
		for class, offsets := range classes {
			path := fmt.Sprintf("/api/find?partition=%d&where=class&class=%d&direction=", p.Partition, class)
			forward := decoded[history.Found](t,
				request(t, a, "GET", path+fmt.Sprint("next&offset=", p.First-1), "", 200))
			back := decoded[history.Found](t,
				request(t, a, "GET", path+fmt.Sprint("previous&offset=", p.Next), "", 200))
			if *forward.Offset != offsets[0] || *back.Offset != offsets[len(offsets)-1] {
				t.Errorf("class %d: found %d and %d, want %v", class, *forward.Offset, *back.Offset, offsets)
			}
			none := decoded[history.Found](t,
				request(t, a, "GET", path+fmt.Sprint("previous&offset=", offsets[0]), "", 200))
			if none.Offset != nil || !none.Complete {
				t.Errorf("found %+v, want none", none)
			}
		}
		path := fmt.Sprintf("/api/find?partition=%d&offset=0&time=", p.Partition)
		if f := decoded[history.Found](t, request(t, a, "GET", path+"2000-01-01T00:00:00Z", "",
			200)); p.Next > p.First &&
			*f.Offset != first {
			t.Errorf("found %+v, want %d", f, first)
		}
		// Claims that are made meanwhile take a few offsets.
		request(t, a, "GET", fmt.Sprintf("/api/frame?partition=%d&offset=%d", p.Partition, p.Next+1000), "", 404)
	}
	if len(seen) != 12 || marks == 0 {
		t.Errorf("found %d classifications and %d marks, want 12 and some", len(seen), marks)
	}
	for path, status := range map[string]int{
		"/api/frame": 400, "/api/frame?partition=9&offset=0": 404, "/api/frame?partition=0&offset=-1": 404,
		"/api/find?partition=0&offset=0&where=x":           400,
		"/api/find?partition=0&offset=0&direction=x":       400,
		"/api/find?partition=0&offset=0&time=yesterday":    400,
		"/api/find?partition=0&offset=0&where=low&below=2": 400,
	} {
		request(t, a, "GET", path, "", status)
	}
}

func checkLetters(t *testing.T, a *app.Env) {
	t.Helper()
	type letters struct{ Letters []DeadLetter }
	list := func(n int) []DeadLetter {
		for {
			if l := decoded[letters](t, request(t, a, "GET", "/api/dead-letters", "", 200)); len(l.Letters) >= n {
				return l.Letters
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	l := list(1)
	if len(l) != 1 || l[0].Stage != "classify" {
		t.Fatalf("found %+v", l)
	}
	path := "/api/dead-letters/" + strings.ReplaceAll(l[0].ID, ":", "/")
	one := decoded[map[string]any](t, request(t, a, "GET", path, "", 200))
	if one["preview"] != "1 volume of 8x8x8, palette Oranges" || one["id"] != l[0].ID {
		t.Errorf("found %v", one)
	}
	request(t, a, "GET", "/api/dead-letters/0/99", "", 404)
	request(t, a, "GET", "/api/dead-letters?limit=0", "", 400)
	request(t, a, "POST", "/api/dead-letters/replay", "{", 400)
	request(t, a, "POST", "/api/dead-letters/replay", `{"ids":["7:7"]}`, 404)
	b := request(t, a, "POST", "/api/dead-letters/replay", fmt.Sprintf(`{"ids":[%q]}`, l[0].ID), 200)
	if !bytes.Contains(b, []byte(`"replayed":1`)) {
		t.Errorf("found %s", b)
	}
	if l := list(2); len(l) != 2 || l[0].EventID != l[1].EventID { // it fails again
		t.Errorf("found %+v", l)
	}
}
