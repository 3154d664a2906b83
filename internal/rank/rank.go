// Package rank selects values by their rank.
package rank

import "cmp"

// Select returns the value that would be at index k if s were sorted, using Hoare's selection algorithm. It reorders s:
// no value before index k is larger, and none after it is smaller. s must not contain NaN.
func Select[T cmp.Ordered](s []T, k int) T {
	lo, hi := 0, len(s)-1
	for lo < hi {
		pivot := s[lo+(hi-lo)/2]
		i, j := lo, hi
		for i <= j {
			for s[i] < pivot {
				i++
			}
			for s[j] > pivot {
				j--
			}
			if i <= j {
				s[i], s[j] = s[j], s[i]
				i++
				j--
			}
		}
		switch {
		case k <= j:
			hi = j
		case k >= i:
			lo = i
		default:
			return s[k]
		}
	}
	return s[k]
}
