//go:build unix

package integration

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"image"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/voxelstream/voxelstream/internal/testenv"
)

// TestWebLive looks at a running pipeline: volumes, the sensor's points, predictions, picking, and a restart.
func TestWebLive(t *testing.T) {
	b := newBrowser(t)
	needHDF5(t)
	w := newWorld(t)
	if err := os.Mkdir(w.path("in"), 0o755); err != nil {
		t.Fatal(err)
	}
	arrive := func(from, name string) {
		t.Helper()
		if err := os.Rename(from, w.path("in/"+name)); err != nil {
			t.Fatal(err)
		}
	}
	port := freePort(t)
	run := func() *process {
		return w.start("run", "watch://in?settle=50ms", "--http", fmt.Sprintf("127.0.0.1:%d", port))
	}
	p := run()
	addr := p.httpAddr(t)

	// The first volume.
	arrive(w.digits("a.h5", 40, 1), "a.h5")
	p.until(t, "40 classifications", func() bool {
		return metric(t, addr, "voxelstream_written_total", "producer classifications") == 40
	})
	begin := time.Now()
	b.open(addr, "")
	b.until("prediction", "document.querySelector('[data-prediction]')")
	t.Logf("the first volume is there after %v", time.Since(begin).Round(time.Millisecond))
	const volume = "[data-scene=volume] canvas"
	b.until("volume", drawn(volume))
	pixels, middle := differing(b.shot(volume))
	if pixels < 2000 {
		t.Errorf("the volume has %d pixels", pixels)
	}
	b.accessible("live")

	// A cell is picked. The frame came from the topic, because everything had ended before the page was opened.
	b.clickAt(volume, middle)
	b.until("cell that was clicked", "/Cell \\d+, \\d+, \\d+:/.test(document.querySelector('.picked').innerText)")

	// Predictions follow what arrives.
	before := b.text(".prediction .facts")
	arrive(w.digits("b.h5", 30, 2), "b.h5")
	b.until("second stream", "document.querySelectorAll('.card').length === 2")
	eval[bool](b, "[...document.querySelectorAll('.card')].at(-1).click() ?? true")
	b.until("other prediction", fmt.Sprintf("document.querySelector('.prediction .facts').innerText !== %q", before))

	// A point cloud with its points.
	arrive(w.write("turn.pcd", helix(4000)), "turn.pcd")
	b.until("cloud", "document.querySelectorAll('.card').length === 3")
	eval[bool](b, "[...document.querySelectorAll('.card')].at(-1).click() ?? true")
	const cloud = "[data-scene=cloud] canvas"
	b.until("points", drawn(cloud))
	pixels, at := differing(b.shot(cloud))
	if pixels < 1000 {
		t.Errorf("the cloud has %d pixels", pixels)
	}
	b.clickAt(cloud, at)
	b.until("point that was clicked", "document.querySelector('.picked dl')?.innerText.includes('intensity')")
	b.press("Measure between two points")
	b.clickAt(cloud, at)
	b.clickAt(cloud, at.Add(farther(b, cloud)))
	b.until("distance", "/\\d (c?m)$/.test(document.querySelector('.measured')?.innerText)")
	b.accessible("live with a cloud")
	b.clean()

	// The server goes away and comes back.
	p.terminate(t)
	p.wait(t, exitDone)
	b.until("notice", "document.querySelector('.connection.waiting')")
	p = run()
	p.httpAddr(t)
	b.until("connection", "document.querySelector('.connection.open')")
	arrive(w.digits("c.h5", 20, 3), "c.h5")
	b.until("stream after the restart", "document.querySelectorAll('.card').length === 4")
	b.clean("ERR_CONNECTION", "WebSocket", "Failed to load resource")
}

// TestWebSensor opens another view first while a sensor streams: frames that arrive before Live is loaded must not stop
// those that follow.
func TestWebSensor(t *testing.T) {
	b := newBrowser(t)
	w := newWorld(t)
	sensor := fmt.Sprintf("udp://127.0.0.1:%d?sensor=vlp16", freeUDPPort(t))
	p := w.start("run", sensor, "--http", fmt.Sprintf("127.0.0.1:%d", freePort(t)))
	addr := p.httpAddr(t)
	p.ready(t, addr)
	w.start("ingest", "simulate", "--scene", "street", "--to", sensor, "--length", "10m")
	classified := func(n float64) func() bool {
		return func() bool { return metric(t, addr, "voxelstream_written_total", "producer classifications") >= n }
	}
	p.until(t, "a turn", classified(1))
	b.open(addr, "#models")
	b.until("view", "document.querySelector('h1, h2, .pane')")
	seen := metric(t, addr, "voxelstream_written_total", "producer classifications")
	p.until(t, "turns while another view is open", classified(seen+5))
	eval[bool](b, "(location.hash = '#live', true)")
	b.until("moving frames", "parseInt(document.querySelector('.pace dd')?.innerText) >= 8")
	b.clean()
}

// drawn tells in JavaScript whether a canvas is there and has been drawn twice since.
func drawn(selector string) string {
	return fmt.Sprintf(`document.querySelector(%q) && new Promise((r) =>
		requestAnimationFrame(() => requestAnimationFrame(() => r(true))))`, selector)
}

// farther is the way to a pixel of the cloud that is not the one in the middle.
func farther(b *browser, selector string) (by image.Point) {
	b.t.Helper()
	m := b.shot(selector)
	_, from := differing(m)
	for x := m.Bounds().Dx() - 1; x > from.X; x-- {
		for y := range m.Bounds().Dy() {
			p := m.Bounds().Min.Add(image.Point{X: x, Y: y})
			r, g, bl, _ := m.At(p.X, p.Y).RGBA()
			if math.Abs(float64(r)-float64(g))+math.Abs(float64(g)-float64(bl)) > 0x3000 {
				return image.Point{X: x, Y: y}.Sub(from)
			}
		}
	}
	b.t.Fatal("the cloud has one pixel")
	return by
}

// helix is a point cloud with intensities.
func helix(points int) []byte {
	var s strings.Builder
	s.WriteString("# .PCD v0.7\nVERSION 0.7\nFIELDS x y z intensity\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\n")
	n := strconv.Itoa(points)
	s.WriteString("WIDTH " + n + "\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS " + n + "\nDATA ascii\n")
	for i := range points {
		a := float64(i) * 40 / float64(points)
		fmt.Fprintf(&s, "%.4f %.4f %.4f %d\n", 5*math.Cos(a), 5*math.Sin(a), a/5, i%256)
	}
	return []byte(s.String())
}

// TestWebHistory scrubs, steps, plays and searches the classifications of the topic: 1,000 of them, or as many as
// VOXELSTREAM_BROWSER_OFFSETS says.
func TestWebHistory(t *testing.T) {
	b := newBrowser(t)
	needHDF5(t)
	w := newWorld(t)
	count := 1000
	if s := os.Getenv("VOXELSTREAM_BROWSER_OFFSETS"); s != "" {
		count = must(strconv.Atoi(s))(t)
	}
	w.broker()
	w.do(exitDone, "ingest", "-q", w.digits("d.h5", count, 4))
	p := w.start("classify", "--http", ":0")
	addr := p.httpAddr(t)
	p.until(t, "classifications", func() bool {
		return metric(t, addr, "voxelstream_written_total", "producer classifications") == float64(count)
	})
	b.open(addr, "#history")
	offset := func() string { return b.text(".scrub .now") }
	frame := func(o int) {
		t.Helper()
		b.until(fmt.Sprintf("offset %d", o), fmt.Sprintf(
			`[...document.querySelectorAll(".facts div")].some((d) => /^Offset\s+\d+ \/ %d$/.test(d.innerText))`, o))
	}
	type offsets struct{ Partition, First, Next int }
	timeline := func() []offsets {
		t.Helper()
		var answer struct{ Partitions []offsets }
		status, body := get(t, addr, "/api/timeline")
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatalf("%d %s: %v", status, body, err)
		}
		return answer.Partitions
	}
	// All digits are of one stream, and claims come before.
	parts := timeline()
	part := slices.IndexFunc(parts, func(p offsets) bool { return p.Next > p.First })
	if part < 0 || parts[part].Next-parts[part].First != count || parts[part].First == 0 {
		t.Fatalf("found %+v, want %d classifications in a partition, after claims", parts, count)
	}
	first, last := parts[part].First, parts[part].Next-1
	frame(last)
	b.accessible("history")
	scrub := func(o int) {
		eval[bool](b, fmt.Sprintf(`(() => { const e = document.querySelector("#scrubber"); e.value = %d;
			e.dispatchEvent(new Event("input", { bubbles: true })); document.activeElement.blur(); return true; })()`, o))
	}
	// Back over everything, as a hand moves: only the last position has to be shown.
	for o := last; o >= first; o -= max(1, count/100) {
		scrub(o)
	}
	scrub(first)
	frame(first)
	if pixels, _ := differing(b.shot("[data-scene=volume] canvas")); pixels < 2000 {
		t.Errorf("the first volume has %d pixels", pixels)
	}
	for _, step := range []struct {
		key string
		at  int
	}{
		{kb.ArrowRight, first + 1},
		{"l", first + 11},
		{"j", first + 1},
		{kb.End, last},
		{kb.ArrowLeft, last - 1},
		{kb.Home, first},
	} {
		b.do(chromedp.KeyEvent(step.key))
		frame(step.at)
	}
	playing := func(beyond int) {
		t.Helper()
		b.do(chromedp.KeyEvent(" "))
		b.until("playing", fmt.Sprintf("Number(document.querySelector('[data-offset]').dataset.offset) > %d", beyond))
		b.do(chromedp.KeyEvent(" "))
	}
	playing(first + 3)
	// The network is hardly trained: errors are frequent.
	scrub(first + count/2)
	frame(first + count/2)
	before := offset()
	b.press("Next")
	b.until("next error", fmt.Sprintf("document.querySelector('.scrub .now').innerText !== %q", before))
	b.until("label", "document.querySelector('.verdict.bad')")
	b.clean()

	// Another process leaves claims before it goes on in the partition. They are no frames.
	p.terminate(t)
	p.wait(t, exitDone)
	p = w.start("classify", "--http", ":0")
	addr = p.httpAddr(t)
	p.ready(t, addr)
	for n := 1; timeline()[part].Next == last+1; n++ {
		w.do(exitDone, "ingest", "-q", w.digits(fmt.Sprintf("d%d.h5", n), 1, 4+n))
		p.until(t, "classification", func() bool {
			return metric(t, addr, "voxelstream_written_total", "producer classifications") == float64(n)
		})
	}
	if next := timeline()[part].Next - 1; next <= last+1 {
		t.Fatalf("the next classification has the offset %d, want claims before it", next)
	}
	b.open(addr, fmt.Sprintf("#history?p=%d&o=%d", part, last))
	frame(last)
	for _, step := range []struct {
		key string
		at  int
	}{{kb.ArrowRight, timeline()[part].Next - 1}, {kb.ArrowLeft, last}, {kb.End, timeline()[part].Next - 1}} {
		b.do(chromedp.KeyEvent(step.key))
		frame(step.at)
	}
	scrub(last + 1)
	frame(timeline()[part].Next - 1)
	b.clean("ERR_CONNECTION", "WebSocket", "Failed to load resource")
}

// TestWebPictures takes the pictures of the documentation (make pictures).
func TestWebPictures(t *testing.T) {
	if os.Getenv("VOXELSTREAM_PICTURES") == "" {
		t.Skip("takes the pictures of docs/pictures: run 'make pictures'")
	}
	b := newBrowser(t)
	w := newWorld(t)
	w.env = []string{"VOXELSTREAM_BROKER_DATA_DIR=kafka"} // the built-in model
	if err := os.Mkdir(w.path("in"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := w.start("run", "watch://in?settle=50ms", "--http", ":0")
	addr := p.httpAddr(t)
	b.open(addr, "")
	arrive := func(from, name string) {
		t.Helper()
		n := eval[int](b, "document.querySelectorAll('.card').length")
		if err := os.Rename(from, w.path("in/"+name)); err != nil {
			t.Fatal(err)
		}
		b.until("stream of "+name, fmt.Sprintf(
			"document.querySelector('[data-prediction]') && "+
				"document.querySelectorAll('.card').length !== %d || %d === 0", n, n))
	}
	arrive(w.digits("digits.h5", 120, 7), "digits.h5")
	p.until(t, "classifications", func() bool {
		return metric(t, addr, "voxelstream_written_total", "producer classifications") == 120
	})
	file := must(os.Open(testenv.Sample(t, "lidar/kitti/kitti_odometry_00_000000.bin.gz")))(t)
	defer file.Close() //nolint:errcheck // it is only read
	scan := must(io.ReadAll(must(gzip.NewReader(file))(t)))(t)
	arrive(w.write("street.bin", scan), "street.bin")
	choose := func(stream string) string {
		return fmt.Sprintf("[...document.querySelectorAll('.card')].find((c) => c.innerText.startsWith(%q))?.click()",
			stream)
	}
	// In the middle of the partition with the digits.
	var timeline struct {
		Partitions []struct{ Partition, First, Next int }
	}
	status, body := get(t, addr, "/api/timeline")
	if err := json.Unmarshal([]byte(body), &timeline); err != nil || status != http.StatusOK {
		t.Fatalf("found status %d, %v", status, err)
	}
	within := ""
	for _, p := range timeline.Partitions {
		if p.Next-p.First >= 120 {
			within = fmt.Sprintf("#history?p=%d&o=%d", p.Partition, p.First+60)
		}
	}
	for _, picture := range []struct {
		name, page, theme, prepare string
		width, height              int64
	}{
		{"live-light", "#live", "light", choose("digits"), 1280, 800},
		{"live-dark", "#live", "dark", choose("street"), 1280, 800},
		{"live-phone", "#live", "light", choose("digits"), 390, 844},
		{"history-light", within, "light", "", 1280, 800},
		{"history-dark", within, "dark", "", 1280, 800},
		{"history-phone", within, "dark", "", 390, 844},
	} {
		b.do(chromedp.EmulateViewport(picture.width, picture.height),
			emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: picture.theme},
			}))
		b.open(addr, picture.page)
		b.until("prediction", "document.querySelector('[data-prediction]')")
		if picture.prepare != "" {
			b.until("streams", "document.querySelectorAll('.card').length > 1")
			eval[bool](b, "("+picture.prepare+") ?? true")
		}
		var data []byte
		b.do(chromedp.Sleep(time.Second), chromedp.CaptureScreenshot(&data)) // until everything is drawn
		path := filepath.Join(testenv.Root(), "docs", "pictures", picture.name+".png")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b.clean()
}
