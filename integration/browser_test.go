//go:build unix

package integration

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/voxelstream/voxelstream/internal/testenv"
)

// browser is a tab of a headless Chromium of its own.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	problems []string // what the console and the page reported
}

// newBrowser starts Chromium. It skips the test where browsers are not wanted or there is none.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	if os.Getenv("VOXELSTREAM_BROWSER") == "" {
		t.Skip("tests of the page need Chromium: run 'make browser', or set VOXELSTREAM_BROWSER=1")
	}
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("found no Chromium: scripts/servers installs it on Debian")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1440, 900),
		// WebGL without a graphics card
		chromedp.Flag("use-angle", "swiftshader"), chromedp.Flag("enable-unsafe-swiftshader", true),
		chromedp.WSURLReadTimeout(timeout))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...) // the tab outlives t.Context
	t.Cleanup(cancel)
	ctx, _ = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil { // waits for its end
			t.Errorf("Chromium: %v", err)
		}
	})
	b := &browser{t: t, ctx: ctx}
	chromedp.ListenTarget(ctx, b.listen)
	// The browser lives as long as the context of the first call.
	if err := chromedp.Run(ctx, log.Enable()); err != nil {
		t.Fatalf("Chromium: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			b.keep("failed")
		}
	})
	return b
}

func (b *browser) listen(event any) {
	text := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text = e.ExceptionDetails.Error()
	case *runtime.EventConsoleAPICalled:
		if e.Type != runtime.APITypeError && e.Type != runtime.APITypeWarning {
			return
		}
		for _, a := range e.Args {
			text += string(a.Value) + " " + a.Description
		}
	case *log.EventEntryAdded:
		if e.Entry.Level != log.LevelError {
			return
		}
		text = fmt.Sprintf("%s: %s", e.Entry.URL, e.Entry.Text)
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.problems = append(b.problems, text)
}

// clean wants no problem that none of the accepted texts is a part of, and forgets all.
func (b *browser) clean(accepted ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
next:
	for _, p := range b.problems {
		for _, a := range accepted {
			if strings.Contains(p, a) {
				continue next
			}
		}
		b.t.Errorf("the browser reports: %s", p)
	}
	b.problems = nil
}

// do runs actions.
func (b *browser) do(actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, timeout)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		b.t.Fatalf("browser: %v", err)
	}
}

// open opens a page of a listener, for instance "#history".
func (b *browser) open(addr, page string) {
	b.t.Helper()
	b.do(chromedp.Navigate("http://" + addr + "/" + page))
}

// eval evaluates JavaScript. It waits for a promise.
func eval[T any](b *browser, js string) (v T) {
	b.t.Helper()
	b.do(chromedp.Evaluate(js, &v, func(p *runtime.EvaluateParams) *runtime.EvaluateParams {
		return p.WithAwaitPromise(true)
	}))
	return v
}

// until waits for JavaScript to become true.
func (b *browser) until(what, js string) {
	b.t.Helper()
	for deadline := time.Now().Add(timeout); !eval[bool](b, "!!("+js+")"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("browser: no %s after %v; the page says:\n%s", what, timeout,
				tail(eval[string](b, "document.body.innerText")))
		}
	}
}

// text is that of an element; "" without one.
func (b *browser) text(selector string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector))
}

// press clicks the button or link with an accessible name, which a dialog must not cover.
func (b *browser) press(name string) {
	b.t.Helper()
	b.until("button "+name, fmt.Sprintf(
		`(window.found = [...document.querySelectorAll("button, a, summary, input, [role=button]")].find((e) =>
			!e.disabled && [e.ariaLabel, e.innerText?.trim()].includes(%q) &&
			!(document.querySelector("dialog[open]") && !e.closest("dialog"))))`, name))
	eval[bool](b, "window.found.click() ?? true")
}

// shot is a picture of an element.
func (b *browser) shot(selector string) image.Image {
	b.t.Helper()
	var data []byte
	b.do(chromedp.Screenshot(selector, &data, chromedp.ByQuery))
	return must(png.Decode(bytes.NewReader(data)))(b.t)
}

// clickAt clicks a pixel of an element.
func (b *browser) clickAt(selector string, at image.Point) {
	b.t.Helper()
	corner := eval[[2]float64](b, fmt.Sprintf(
		"(() => { const r = document.querySelector(%q).getBoundingClientRect(); return [r.x, r.y]; })()", selector))
	x, y := corner[0]+float64(at.X), corner[1]+float64(at.Y)
	b.do(chromedp.MouseEvent(input.MouseMoved, x, y), chromedp.MouseClickXY(x, y))
}

// keep saves a picture of the page below build/pictures.
func (b *browser) keep(name string) {
	var data []byte
	if err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot(&data)); err != nil {
		b.t.Log(err)
		return
	}
	path := filepath.Join(testenv.Root(), "build", "pictures", strings.ReplaceAll(b.t.Name(), "/", "-")+"-"+name+".png")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Error(err)
		return
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		b.t.Error(err)
		return
	}
	b.t.Logf("picture: %s", path)
}

// accessible wants no serious finding of axe-core. It does nothing where axe-core is not installed (npm ci in
// serve/web).
func (b *browser) accessible(view string) {
	b.t.Helper()
	axe, err := os.ReadFile(filepath.Join(testenv.Root(), "serve/web/node_modules/axe-core/axe.min.js"))
	if err != nil {
		b.t.Logf("%s is not checked by axe-core: run 'npm ci' in serve/web", view)
		return
	}
	b.do(chromedp.Evaluate(string(axe), nil))
	for _, finding := range eval[[]string](b, `axe.run().then((r) => r.violations
		.filter((v) => v.impact === "serious" || v.impact === "critical")
		.map((v) => v.id + ": " + v.help + ": " + v.nodes.map((n) => n.target.join(" ")).join(", ")))`) {
		b.t.Errorf("%s: axe-core: %s", view, finding)
	}
}

// differing counts the pixels of a picture that differ from the one in its corner, and finds one of them: the one
// nearest to the middle.
func differing(m image.Image) (count int, nearest image.Point) {
	r := m.Bounds()
	middle := image.Pt((r.Min.X+r.Max.X)/2, (r.Min.Y+r.Max.Y)/2)
	best := -1
	ar, ag, ab, _ := m.At(r.Min.X+2, r.Min.Y+2).RGBA()
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			cr, cg, cb, _ := m.At(x, y).RGBA()
			if distance(ar, cr)+distance(ag, cg)+distance(ab, cb) < 0x4000 {
				continue
			}
			count++
			d := image.Pt(x, y).Sub(middle)
			if square := d.X*d.X + d.Y*d.Y; best < 0 || square < best {
				best, nearest = square, image.Pt(x, y)
			}
		}
	}
	return count, nearest.Sub(r.Min)
}

func distance(a, b uint32) uint32 { return max(a, b) - min(a, b) }
