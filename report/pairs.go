package report

import (
	"strings"

	"github.com/voxelstream/voxelstream/record"
)

// leastPairs is the number of pairs below which rows are not taken for pairs. By chance, ten pairs of two equally
// frequent classes are all equal in one of 1000 files.
const leastPairs = 10

// pairs measures the accuracy of upright and rotated rows: the even and odd rows of streams in which each even row and
// the next one have the same label. Rows whose partner is missing decide nothing.
type pairs struct {
	stream          string
	last            uint64
	label           int32
	begun           bool
	equal, unequal  int // pairs of the stream
	turns, changes  int // borders between pairs, and those with another label behind them
	current, shared [2]tally
}

// tally counts rows.
type tally struct{ rows, right int }

func (t *tally) add(right bool) {
	t.rows++
	if right {
		t.right++
	}
}

func (p *pairs) add(c *record.Classification, right bool) {
	if c.Object != 0 || c.View != 0 {
		return
	}
	if !p.begun || p.stream != c.Stream {
		shared := p.total()
		*p = pairs{stream: strings.Clone(c.Stream), begun: true, shared: shared}
	} else if c.Seq == p.last+1 {
		same := *c.Label == p.label
		switch {
		case c.Seq%2 == 1 && same:
			p.equal++
		case c.Seq%2 == 1:
			p.unequal++
		default:
			p.turns++
			if !same {
				p.changes++
			}
		}
	}
	p.last, p.label = c.Seq, *c.Label
	p.current[c.Seq%2].add(right)
}

// total returns the rows of all streams with pairs so far. The labels of a sorted file are also equal in pairs, but
// there they seldom change from one pair to the next.
func (p *pairs) total() [2]tally {
	all := p.shared
	if p.equal >= leastPairs && p.unequal == 0 && p.changes > 0 && 4*p.changes >= p.turns {
		for i, t := range p.current {
			all[i].rows += t.rows
			all[i].right += t.right
		}
	}
	return all
}

// shares returns the accuracy of upright and of rotated rows, or nil if there are no pairs.
func (p *pairs) shares() (upright, rotated *Share) {
	all := p.total()
	if all[0].rows == 0 || all[1].rows == 0 {
		return nil, nil
	}
	share := func(t tally) *Share {
		return &Share{Rows: t.rows, Accuracy: float64(t.right) / float64(t.rows)}
	}
	return share(all[0]), share(all[1])
}
