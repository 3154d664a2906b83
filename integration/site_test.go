//go:build unix

package integration

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/voxelstream/voxelstream/internal/testenv"
)

// TestWebSite uses the site of the documentation as a reader with a keyboard, and as one with a phone. It is served below a
// path, as a forge does.
func TestWebSite(t *testing.T) {
	dir := filepath.Join(testenv.Root(), "build", "site")
	if _, err := os.Stat(filepath.Join(dir, "search.json")); err != nil {
		t.Skip("the site is not built: run make docs-build")
	}
	b := newBrowser(t)
	server := httptest.NewServer(http.StripPrefix("/docs", http.FileServer(http.Dir(dir))))
	t.Cleanup(server.Close)
	addr := strings.TrimPrefix(server.URL, "http://") + "/docs"

	b.open(addr, "")
	for query, want := range map[string]string{
		"batchnormaliz":    "BatchNormalization",
		"train.batch_size": "Configuration",
		"not a known form": "Troubleshooting by error message",
	} {
		b.do(chromedp.KeyEvent("/"), chromedp.KeyEvent(query))
		const selected = `document.querySelector("#site-results a[aria-selected=true]")`
		b.until("result for "+query, fmt.Sprintf("%s?.innerText.startsWith(%q)", selected, want))
		b.do(chromedp.KeyEvent(kb.Enter))
		b.until(want, fmt.Sprintf("document.readyState == 'complete' && document.querySelector('h1')?.innerText == %q", want))
	}
	b.do(chromedp.KeyEvent("/"), chromedp.KeyEvent("xyzzyx"))
	b.until("empty result", `document.querySelector("#site-results")?.innerText == "Nothing found"`)

	background := func() string { return eval[string](b, "getComputedStyle(document.documentElement).backgroundColor") }
	light := background()
	b.press("Light or dark")
	dark := background()
	if light == dark {
		t.Errorf("the button changes no colour: %s", light)
	}
	b.open(addr, "how-to/objects/")
	if background() != dark {
		t.Error("the next page forgets the choice of light or dark")
	}

	b.do(emulation.SetDeviceMetricsOverride(390, 844, 2, true))
	for _, page := range []string{"", "how-to/objects/", "reference/config/", "performance/", "help/troubleshooting/"} {
		b.open(addr, page)
		if wide := eval[int](b, "document.documentElement.scrollWidth"); wide > 390 {
			t.Errorf("%s is %d pixels wide on a phone of 390", page, wide)
		}
	}
	b.press("Menu")
	b.press("How-to")
	b.press("Train a network")
	b.until("page", `document.querySelector("h1")?.innerText == "Train a network"`)
	b.clean()
}
