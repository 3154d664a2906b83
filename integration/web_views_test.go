//go:build unix

package integration

import (
	"fmt"
	"os"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// TestWebViews uses the views Run, Models, Try and Why of a consumer of the topic: it replays a dead letter, switches
// the model and rolls back, drops files, draws a digit, and asks why.
func TestWebViews(t *testing.T) {
	b := newBrowser(t)
	needHDF5(t)
	w := newWorld(t)
	w.broker()
	if err := os.Mkdir(w.path("models"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.write("models/other.keras", must(os.ReadFile(must(slowModel())(t)))(t))
	w.do(0, "ingest", w.digits("a.h5", 20, 1))
	w.do(0, "ingest", w.write("large.pcd", helix(500)), "--grid", "24")
	p := w.start("classify", "--http", "127.0.0.1:0", "--model-folder", "models")
	addr := p.httpAddr(t)
	p.ready(t, addr)
	confirm := func() {
		t.Helper()
		b.until("question", "document.querySelector('dialog[open] .primary')")
		eval[bool](b, "document.querySelector('dialog[open] .primary').click() ?? true")
		b.until("end of the dialog", "!document.querySelector('dialog')")
	}
	click := func(selector string) {
		t.Helper()
		b.until(selector, fmt.Sprintf("document.querySelector(%q)", selector))
		eval[bool](b, fmt.Sprintf("document.querySelector(%q).click() ?? true", selector))
	}

	// The volume of another size is a dead letter, and is one again after it was replayed.
	b.open(addr, "#run")
	click(".letters [aria-label^='Details of']")
	b.until("preview", "document.querySelector('.detail').innerText.includes('24x24x24')")
	b.accessible("run")
	click(".letters [aria-label^='Replay ']")
	confirm()
	b.until("result", "document.querySelector('.done').innerText === '1 message sent back to the topic.'")
	b.until("second dead letter", "document.querySelectorAll('.letters .reason').length === 2")

	// Another model, and back.
	b.open(addr, "#models")
	click("[aria-label^='Switch to other']")
	confirm()
	b.until("other model", "document.querySelector('.pane.current h2').innerText === 'other'")
	b.accessible("models")
	b.press("Roll back")
	confirm()
	b.until("model before", "document.querySelector('.pane.current h2').innerText !== 'other'")

	// A file that is dropped, one that is chosen, and one that cannot be read.
	b.open(addr, "#try")
	b.until("place for files", "document.querySelector('.drop')")
	eval[bool](b, fmt.Sprintf(`(() => {
		const data = new DataTransfer();
		data.items.add(new File([%q], "helix.pcd"));
		document.querySelector(".view-try").dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true}));
		return true;
	})()`, helix(500)))
	b.until("prediction", "document.querySelector('[data-prediction]')")
	choose := func(path string) {
		t.Helper()
		b.do(chromedp.SetUploadFiles(".drop input", []string{path}, chromedp.ByQuery))
	}
	choose(w.digits("c.h5", 6, 3))
	b.until("items", "document.querySelectorAll('.gallery .thumb').length === 6")
	b.accessible("try")
	choose(w.write("broken.pcd", []byte("# .PCD v0.7\nVERSION 0.7\nFIELDS x\n")))
	b.until("reason", "document.querySelector('.view-try .failure')?.innerText.includes('broken.pcd')")

	// A digit that is drawn, and one that the generator writes.
	corner := eval[[3]float64](b, `(() => {
		const pad = document.querySelector(".pad");
		pad.scrollIntoView();
		const r = pad.getBoundingClientRect();
		return [r.x, r.y, r.width];
	})()`)
	at := func(x, y float64) (float64, float64) { return corner[0] + x*corner[2], corner[1] + y*corner[2] }
	pen := func(kind input.MouseType, x, y float64) {
		x, y = at(x, y)
		b.do(chromedp.MouseEvent(kind, x, y, chromedp.ButtonLeft))
	}
	pen(input.MousePressed, 0.5, 0.15)
	for i := range 10 {
		pen(input.MouseMoved, 0.5, 0.2+0.07*float64(i))
	}
	pen(input.MouseReleased, 0.5, 0.85)
	b.until("answer", "document.querySelector('.view-try > [role=status]').innerText.includes('Your digit')")
	b.until("stroke", "document.querySelector('.pad').ariaLabel === 'Pad with 1 stroke' && "+
		"!document.querySelector('.failure')")
	b.press("Write a 3")
	b.until("label", "/The label (agrees|says 3)/.test(document.querySelector('.prediction').innerText)")

	// Why it says that.
	click(".whylink")
	b.until("maps of a layer", "document.querySelector('.sheet canvas')")
	b.until("map of the volume", drawn("[data-scene=volume] canvas"))
	if n, _ := differing(b.shot("[data-scene=volume] canvas")); n < 1000 {
		t.Errorf("the explained volume has %d pixels", n)
	}
	b.accessible("why")
	b.clean("Unprocessable")
}
