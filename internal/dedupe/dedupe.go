// Package dedupe recognizes duplicates by their keys. A [Window] remembers the latest keys. A [Set] remembers all keys
// in bounded memory. Neither is safe for concurrent use.
//
// The package imports no other package of this module, because both pipeline and sinks need it.
package dedupe

import (
	"crypto/sha256"
	"encoding/binary"
)

// Key represents a key of any length by the first 128 bits of its SHA-256. The probability that two of a billion keys
// have the same Key is below 1e-20.
type Key [keySize]byte

const keySize = 16

// Of returns the Key of a text.
func Of[T string | []byte](text T) Key {
	sum := sha256.Sum256([]byte(text))
	return Key(sum[:keySize])
}

// slot returns the slot at which a hash table of mask+1 slots, a power of two, begins to look for the key. The digest
// is uniform, so any of its bits will do.
func (k Key) slot(mask uint64) uint64 { return binary.LittleEndian.Uint64(k[8:]) & mask }

// rank returns the key's position among all possible digests, scaled to 0 to 2^64. Keys are sorted by these bytes
// first.
func (k Key) rank() uint64 { return binary.BigEndian.Uint64(k[:8]) }
