// Package dedupe recognises repeats by their keys. A [Window] remembers the last keys, a [Set] all of them, in memory
// that is bounded whatever their number. Neither is for concurrent use.
//
// It stands below pipeline and sinks because both need it, and imports nothing of ours.
package dedupe

import (
	"crypto/sha256"
	"encoding/binary"
)

// Key stands for a key of any length: the first 128 bits of its SHA-256. Two keys of a billion share one with a
// probability below 1e-20.
type Key [keySize]byte

const keySize = 16

// Of is the key of a text.
func Of[T string | []byte](text T) Key {
	sum := sha256.Sum256([]byte(text))
	return Key(sum[:keySize])
}

// slot is where a hash table of 1<<n slots first looks for the key. The digest is uniform, so any of its bits will do.
func (k Key) slot(mask uint64) uint64 { return binary.LittleEndian.Uint64(k[8:]) & mask }

// rank is the key's place among all digests, from 0 to 2^64: keys are sorted by these bytes first.
func (k Key) rank() uint64 { return binary.BigEndian.Uint64(k[:8]) }
