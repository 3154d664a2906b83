//go:build unix

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestWebSilence looks at what Live says while no frames arrive: nothing yet, nothing for a while, no server, and no
// more because the inputs have ended. It goes on by itself when frames arrive again.
func TestWebSilence(t *testing.T) {
	b := newBrowser(t)
	needHDF5(t)
	w := newWorld(t)
	if err := os.Mkdir(w.path("in"), 0o755); err != nil {
		t.Fatal(err)
	}
	seed := 0
	arrive := func() {
		t.Helper()
		seed++
		file := w.digits(fmt.Sprintf("d%d.h5", seed), 5, seed)
		if err := os.Rename(file, w.path(fmt.Sprintf("in/d%d.h5", seed))); err != nil {
			t.Fatal(err)
		}
		b.until("stream", fmt.Sprintf("(document.querySelectorAll('.card').length || "+
			"document.querySelectorAll('[data-prediction]').length) === %d", seed))
	}
	choose := func() {
		t.Helper()
		eval[bool](b, "document.querySelector('.streams li:last-child .card').click() ?? true")
	}
	notice := func(kind, pattern string) {
		t.Helper()
		b.until(kind+" notice", fmt.Sprintf(
			"new RegExp(%q).test(document.querySelector('[data-notice=%s]')?.innerText)", pattern, kind))
	}
	none := func() {
		t.Helper()
		b.until("end of the notice", "!document.querySelector('[data-notice]')")
	}
	port := freePort(t)
	run := func() *process {
		return w.start("run", "watch://in?settle=50ms", "--http", fmt.Sprintf("127.0.0.1:%d", port))
	}
	p := run()
	addr := p.httpAddr(t)
	p.ready(t, addr)
	b.open(addr, "")
	notice("silent", `^Nothing received for \d+ s\s+If a folder is watched, put a file into it\.`)
	b.accessible("live without a frame")
	arrive()
	none()
	silent := `^No frame for \d+ s\. The last one came at \d+:\d\d:\d\d`
	notice("silent", silent)
	b.accessible("live without a new frame")
	b.open(addr, "") // the page that is opened now knows it, too
	notice("silent", silent)
	arrive()
	choose()
	none()
	b.clean()

	p.terminate(t)
	p.wait(t, exitDone)
	notice("lost", `^Connection to the server lost for \d+ s\. Reconnecting … The last frame came at \d+:\d\d:\d\d`)
	p = run()
	p.ready(t, p.httpAddr(t))
	b.until("connection", "document.querySelector('.connection.open')")
	arrive()
	choose()
	none()
	b.clean("ERR_CONNECTION", "WebSocket", "Failed to load resource")
	p.terminate(t)
	p.wait(t, exitDone)

	// A view that is opened for the first time while there is no server appears when it is back.
	notice("lost", "^Connection to the server lost")
	eval[bool](b, "(location.hash = '#models', true)")
	b.until("message",
		"document.querySelector('main .empty')?.innerText.includes('Models opens when the server is back.')")
	p = w.start("run", w.digits("last.h5", 5, 9), "--stay", "--http", fmt.Sprintf("127.0.0.1:%d", port))
	addr = p.httpAddr(t)
	b.until("models", "document.querySelector('.pane.current')")
	b.open(addr, "#live")
	notice("ended", `^The source has ended\. Everything was classified at .*\d+:\d\d:\d\d`)
	b.clean("ERR_CONNECTION", "WebSocket", "Failed to load resource")
}

// TestWebNames wants the names of the classes in every part of the page, whatever their length.
func TestWebNames(t *testing.T) {
	b := newBrowser(t)
	needHDF5(t)
	w := newWorld(t)
	names := []string{"0", "one", "two", "the third", "four", "number five", "six", "7", "the eighth", "nine"}
	port := freePort(t)
	p := w.start("run", w.digits("d.h5", 60, 1), "--stay", "--classes", strings.Join(names, ","),
		"--http", fmt.Sprintf("127.0.0.1:%d", port))
	addr := p.httpAddr(t)
	p.until(t, "60 classifications", func() bool {
		return metric(t, addr, "voxelstream_written_total", "producer classifications") == 60
	})
	list := string(must(json.Marshal(names))(t))
	named := func(page, selector string) {
		t.Helper()
		b.until(selector, fmt.Sprintf("document.querySelector(%q)", selector))
		for _, text := range eval[[]string](b, fmt.Sprintf(
			"[...document.querySelectorAll(%q)].map((e) => e.firstChild.textContent).filter((s) => !%s.includes(s))",
			selector, list)) {
			t.Errorf("%s: %s says %q, want a name", page, selector, text)
		}
	}
	b.open(addr, "#live")
	for _, selector := range []string{".strip .class", "[data-prediction]", ".bars .name"} {
		named("live", selector)
	}
	b.open(addr, "#history")
	b.until("prediction", "document.querySelector('[data-prediction]')")
	b.do(chromedp.Click("//label[contains(., 'A class')]", chromedp.BySearch))
	named("history", ".jump select option")
	b.open(addr, "#run")
	for _, selector := range []string{".shares[aria-label^=Share] .name", ".confusion th"} {
		named("run", selector)
	}
	b.clean()
}
