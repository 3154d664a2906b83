// Package screen shares a terminal between permanent lines (logs, results) and a live area below them that is redrawn
// (a progress bar, a table). If the output is not a terminal, the live area becomes a line every few seconds.
package screen

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"
)

// Screen is a terminal, or another output of text. It is safe for concurrent use.
type Screen struct {
	mu    sync.Mutex
	out   io.Writer
	width int // 0 if the output is not a terminal
	every time.Duration
	live  []string
	last  time.Time
}

const (
	redrawEvery = 100 * time.Millisecond
	lineEvery   = 3 * time.Second
)

// New returns a screen that writes to out, which writes to a file, usually standard error.
func New(out io.Writer, f *os.File) *Screen {
	s := &Screen{out: out, every: lineEvery}
	if term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		s.width, s.every = 80, redrawEvery
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			s.width = w
		}
	}
	return s
}

// Plain returns a screen that is not a terminal and shows every update, for tests.
func Plain(w io.Writer) *Screen { return &Screen{out: w} }

// Terminal reports whether the live area is redrawn in place.
func (s *Screen) Terminal() bool { return s.width > 0 }

// Write writes permanent lines above the live area, such as messages of a log. They are made [Visible], which in JSON
// leaves the same values.
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := Visible(string(p))
	if !s.Terminal() {
		if _, err := io.WriteString(s.out, text); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	var b bytes.Buffer
	s.erase(&b)
	b.WriteString(text)
	s.draw(&b)
	if _, err := s.out.Write(b.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Line writes a permanent line of progress.
func (s *Screen) Line(text string) {
	io.WriteString(s, OneLine(text)+"\n") //nolint:errcheck // as for the live area
}

// Show redraws the live area. It calls lines only if an update is due, which is often on a terminal and seldom
// elsewhere, where only the first line is shown. now forces an update, for the final state.
func (s *Screen) Show(now bool, lines func() []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := time.Now(); now || t.Sub(s.last) >= s.every {
		s.last = t
		s.show(lines())
	}
}

func (s *Screen) show(lines []string) {
	for i, l := range lines {
		lines[i] = OneLine(l)
	}
	if !s.Terminal() {
		if len(lines) > 0 {
			fmt.Fprintln(s.out, lines[0])
		}
		return
	}
	var b bytes.Buffer
	s.erase(&b)
	s.live = lines
	s.draw(&b)
	s.out.Write(b.Bytes()) //nolint:errcheck // a failure to show progress must not stop the work
}

// Done makes the lines of the live area permanent.
func (s *Screen) Done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = nil
}

// erase moves to the first line of the live area and clears from there (ECMA-48: CPL, ED).
func (s *Screen) erase(b *bytes.Buffer) {
	if len(s.live) > 0 {
		fmt.Fprintf(b, "\x1b[%dF\x1b[J", len(s.live))
	}
}

func (s *Screen) draw(b *bytes.Buffer) {
	for _, l := range s.live {
		if r := []rune(l); len(r) >= s.width {
			l = string(r[:s.width-1]) // a line that wraps would take two
		}
		b.WriteString(l + "\n")
	}
}

// Progress is a progress bar with rate and remaining time in the live area of a screen.
type Progress struct {
	s     *Screen
	what  string
	start time.Time
	full  atomic.Bool // the end was shown
}

// Progress starts a progress bar. what is the unit that it counts, in the plural.
func (s *Screen) Progress(what string) *Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.every > 0 {
		s.last = time.Now() // work that ends at once needs no bar
	}
	return &Progress{s: s, what: what, start: time.Now()}
}

// Set shows done out of total units, and a note. A total of 0 means that it is unknown. The first update that reaches
// the total is shown at once.
func (p *Progress) Set(done, total int64, note string) {
	end := total > 0 && done >= total && !p.full.Swap(true)
	p.s.Show(end, func() []string { return []string{p.line(done, total, note)} })
}

func (p *Progress) line(done, total int64, note string) string {
	rate := float64(done) / max(time.Since(p.start).Seconds(), 1e-3)
	if note != "" {
		note = "  " + note
	}
	if total <= 0 {
		return fmt.Sprintf("%d %s  %.0f/s%s", done, p.what, rate, note)
	}
	const cells = 24
	full := int(min(done, total) * cells / total)
	eta := ""
	if done > 0 && done < total {
		eta = "  " + time.Duration(float64(total-done)/rate*1e9).Round(time.Second).String() + " left"
	}
	return fmt.Sprintf("[%s%s] %d/%d %s  %.0f/s%s%s", strings.Repeat("#", full), strings.Repeat(".", cells-full), done,
		total, p.what, rate, eta, note)
}

// Done ends the bar.
func (p *Progress) Done() { p.s.Done() }
