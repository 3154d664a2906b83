package nn

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// SummaryWidth is the width of Keras's table on a terminal of 80 columns.
const SummaryWidth = 76

// Summary describes the model in the table that Keras prints, at most width columns wide: name and class, output
// shape and parameters of each layer, and its inputs unless the model is a chain; then the totals.
func (m *Model) Summary(width int) string {
	header, positions, right := []string{"Layer (type)", "Output Shape", "Param #"}, []float64{.45, .8, 1}, 2
	chain := m.isChain()
	if !chain {
		header, positions = append(header, "Connected to"), []float64{.3, .56, .74, 1}
	}
	var rows [][]string
	for _, n := range m.nodes {
		if n.Layer == nil && m.sequential || n.Call > 0 {
			continue
		}
		class, count := "InputLayer", 0
		if n.Layer != nil {
			class = n.Layer.Class()
			for _, p := range n.Layer.Base().Params {
				count += len(p.Value)
			}
		}
		row := []string{fmt.Sprintf("%s (%s)", n.Name(), class), n.Shape.String(), thousands(count)}
		if !chain {
			var from []string
			for _, in := range m.readBy(n) {
				from = append(from, fmt.Sprintf("%s[%d][0]", in.Name(), in.Call))
			}
			if from == nil {
				from = []string{"-"}
			}
			row = append(row, strings.Join(from, ", "))
		}
		rows = append(rows, row)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Model: %q\n", m.Name)
	writeTable(&b, header, rows, columnWidths(width, positions), right)
	total, trainable := m.Count()
	fmt.Fprintf(&b, " Total params: %s (%s)\n", thousands(total), memory(4*total))
	fmt.Fprintf(&b, " Trainable params: %s (%s)\n", thousands(trainable), memory(4*trainable))
	fmt.Fprintf(&b, " Non-trainable params: %s (%s)\n", thousands(total-trainable), memory(4*(total-trainable)))
	return b.String()
}

// readBy returns the inputs of n's layer in all its uses.
func (m *Model) readBy(n *Node) (in []*Node) {
	if n.Layer == nil {
		return nil
	}
	for _, use := range m.nodes {
		if use.Layer == n.Layer {
			in = append(in, use.Inputs...)
		}
	}
	return in
}

// isChain reports whether each node reads only the one before it.
func (m *Model) isChain() bool {
	for i, n := range m.nodes {
		if i > 0 && (len(n.Inputs) != 1 || n.Inputs[0] != m.nodes[i-1]) || n.Call > 0 {
			return false
		}
	}
	return true
}

// columnWidths distributes a table's width as Keras does with rich: each column requests its share of the whole,
// padding is added, and the excess over the width is taken from the columns one by one, rounding half to even.
func columnWidths(width int, positions []float64) []int {
	widths := make([]int, len(positions))
	at, sum := 0, 0
	for i, p := range positions {
		w := int(p*float64(width)) - at
		at += w
		widths[i] = w + 2
		sum += w + 2
	}
	excess := sum - (width - len(positions) - 1)
	for i := range widths {
		cut := int(math.RoundToEven(float64(max(excess, 0)) / float64(len(widths)-i)))
		widths[i] -= cut
		excess -= cut
	}
	return widths
}

// writeTable draws the table; widths include a space on either side of a cell, and column right is aligned to the
// right.
func writeTable(b *strings.Builder, header []string, rows [][]string, widths []int, right int) {
	rule := func(left, fill, cross, end string) {
		b.WriteString(left)
		for i, w := range widths {
			if i > 0 {
				b.WriteString(cross)
			}
			b.WriteString(strings.Repeat(fill, w))
		}
		b.WriteString(end + "\n")
	}
	write := func(row []string, bar string) {
		cells, height := make([][]string, len(row)), 1
		for i, text := range row {
			cells[i] = wrap(text, widths[i]-2)
			height = max(height, len(cells[i]))
		}
		for line := range height {
			for i, cell := range cells {
				text := ""
				if line < len(cell) {
					text = cell[line]
				}
				space := strings.Repeat(" ", max(widths[i]-2-utf8.RuneCountInString(text), 0))
				if i == right {
					text = space + text
				} else {
					text += space
				}
				b.WriteString(bar + " " + text + " ")
			}
			b.WriteString(bar + "\n")
		}
	}
	rule("┏", "━", "┳", "┓")
	write(header, "┃")
	rule("┡", "━", "╇", "┩")
	for i, row := range rows {
		if i > 0 {
			rule("├", "─", "┼", "┤")
		}
		write(row, "│")
	}
	rule("└", "─", "┴", "┘")
}

// wrap breaks text at spaces into lines of at most width. A longer word gets its own line, truncated with an
// ellipsis, as in Keras.
func wrap(text string, width int) []string {
	width = max(width, 1)
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width {
			line += " " + word
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		line = word
		if r := []rune(word); len(r) > width {
			line = string(r[:width-1]) + "…"
		}
	}
	return append(lines, line)
}

// thousands formats a number with commas: 258,058.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// memory formats a number of bytes as Keras does: "1008.04 KB", with units of 1024.
func memory(bytes int) string {
	v := float64(bytes)
	for _, unit := range []string{"B", "KB", "MB", "GB"} {
		if v < 1024 {
			return fmt.Sprintf("%.2f %s", v, unit)
		}
		v /= 1024
	}
	return fmt.Sprintf("%.2f TB", v)
}
