//go:build !unix

package conns

// descriptors returns how many descriptors the process may open.
func descriptors() int { return 2 * maxTotal }
