package arrays

// Span is the rows of an array that are still to be read: [Next, End).
type Span struct{ Next, End int }

// Len returns the number of rows.
func (s Span) Len() int { return s.End - s.Next }

// Confine cuts spans that are read one after another down to count rows after the first ones.
func Confine(spans []*Span, first, count int) {
	for _, s := range spans {
		skipped := min(first, s.Len())
		s.Next += skipped
		s.End = s.Next + min(count, s.Len())
		first -= skipped
		count -= s.Len()
	}
}
