package live

import "math"

// Drift compares the classes of the last classifications with those of the first ones.
type Drift struct {
	// Value is the Jensen-Shannon divergence in bits: 0 for equal shares, 1 for disjoint ones.
	Value float64 `json:"value"`
	// Limit is what chance exceeds in 1 of 100 comparisons. A larger value means that the classes have changed.
	Limit     float64 `json:"limit"`
	Measure   string  `json:"measure"`
	Reference string  `json:"reference"`
	// Counted is the number of classifications that are compared with the reference.
	Counted int `json:"counted"`
}

// driftWindow is the number of classifications of each side.
const driftWindow = 1000

// drift counts the classes, which are not negative, of the first and of the last classifications. Its zero value has
// seen none.
type drift struct {
	first, last []int // by class
	n           int   // of first
	ring        []int // the classes of last
	at          int
}

func (d *drift) add(class int) {
	for len(d.first) <= class {
		d.first, d.last = append(d.first, 0), append(d.last, 0)
	}
	if d.n < driftWindow {
		d.first[class]++
		d.n++
		return
	}
	if len(d.ring) < driftWindow {
		d.ring = append(d.ring, class)
	} else {
		d.last[d.ring[d.at]]--
		d.ring[d.at] = class
		d.at = (d.at + 1) % driftWindow
	}
	d.last[class]++
}

// reference returns the share of a class in the first classifications.
func (d *drift) reference(class int) float64 {
	if d.n == 0 || class >= len(d.first) {
		return 0
	}
	return float64(d.first[class]) / float64(d.n)
}

// least is the number of classifications below which nothing is compared.
const least = 100

// result compares, or returns nil if there is not enough to compare.
func (d *drift) result() *Drift {
	if len(d.ring) < least {
		return nil
	}
	v, classes := divergence(d.first, d.last, d.n, len(d.ring))
	return &Drift{
		Value: v, Limit: chance(classes, d.n, len(d.ring)),
		Measure:   "Jensen-Shannon divergence of the classes, in bits",
		Reference: "the first 1000 classifications", Counted: len(d.ring),
	}
}

// divergence returns the Jensen-Shannon divergence of two samples of sizes n and m, weighted by these, in bits, and the
// number of classes in them. p and q count the same classes.
func divergence(p, q []int, n, m int) (bits float64, classes int) {
	total := float64(n + m)
	term := func(count, size, both int) float64 {
		if count == 0 {
			return 0
		}
		mixed := float64(both) / total
		return float64(count) / total * math.Log2(float64(count)/float64(size)/mixed)
	}
	for class, a := range p {
		b := q[class]
		if a+b > 0 {
			bits += term(a, n, a+b) + term(b, m, a+b)
			classes++
		}
	}
	return max(bits, 0), classes
}

// chance returns the divergence that two samples of one distribution exceed with a probability of 1 %. 2 ln(2) (n+m)
// times the divergence is the G statistic of homogeneity, which has a chi-squared distribution with classes-1 degrees
// of freedom. Its quantile is that of Wilson and Hilferty (1931).
func chance(classes, n, m int) float64 {
	k := float64(max(classes-1, 1))
	const z = 2.3263478740408408 // the 99 % quantile of the normal distribution
	t := 1 - 2/(9*k) + z*math.Sqrt(2/(9*k))
	return k * t * t * t / (2 * math.Ln2 * float64(n+m))
}
