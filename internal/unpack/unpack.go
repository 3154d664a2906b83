// Package unpack decompresses data whose size is unknown or not to be trusted. It allocates exactly the size of the
// result, after drawing it from an account.
package unpack

import (
	"errors"
	"fmt"
	"io"

	"github.com/voxelstream/voxelstream/internal/budget"
)

// maxRatio is how many times as large as the compressed data the result may be: the most that Deflate achieves
// (https://zlib.net/zlib_tech.html). bzip2 and Zstandard achieve more only with data that is constant. Results of up to
// anyRatio bytes may be of any ratio.
const (
	maxRatio = 1032
	anyRatio = 64 << 20
	// trusted is the ratio up to which an expected size is believed. blind is the most that is allocated for a result
	// whose size is unknown.
	trusted = 64
	blind   = 16 << 20
)

// Limits bounds what data decompresses to.
type Limits struct {
	Bytes int64 // in all
	// Account is that of the input. The caller returns the size of the result to it when the result is no longer used.
	Account *budget.Account
}

// most returns the number of bytes that packed bytes may decompress to, and the error if they are more.
func (l Limits) most(packed int64) (int64, error) {
	ratio := max(anyRatio, maxRatio*packed)
	if ratio < l.Bytes {
		return ratio, fmt.Errorf("found more than %d uncompressed bytes in %d compressed ones, limit %d times as many",
			ratio, packed, maxRatio)
	}
	return l.Bytes, fmt.Errorf("found too many uncompressed bytes, limit %d", l.Bytes)
}

// Parts bounds what all compressed parts of one input decompress to.
type Parts struct {
	// Packed is the size of the input.
	Packed   int64
	unpacked int64
}

// Add counts the size of a decompressed part, before it is decompressed.
func (p *Parts) Add(size int64) error {
	if p.unpacked += size; p.unpacked < 0 || p.unpacked > max(anyRatio, maxRatio*p.Packed) {
		return fmt.Errorf("found more than %d uncompressed bytes in all parts of %d bytes, limit %d times as many",
			max(anyRatio, maxRatio*p.Packed), p.Packed, maxRatio)
	}
	return nil
}

// All returns everything that the reader of open yields. packed is the size of the compressed data, hint the expected
// size of the result, or -1. If the result is larger than expected, its size is determined by reading it twice.
func All(open func() (io.Reader, error), packed, hint int64, l Limits) ([]byte, error) {
	most, tooMany := l.most(packed)
	size := hint
	known := size >= 0 && size <= min(most, trusted*packed)
	if !known {
		size = min(most, 4*packed+512, blind)
	}
	for {
		r, err := open()
		if err != nil {
			return nil, err
		}
		data, err := fill(r, size, l)
		if !known && errors.Is(err, budget.ErrLimit) { // it may be smaller
			size = 0
			data, err = nil, nil
		}
		if err != nil {
			return nil, err
		}
		known = true
		if int64(len(data)) < size {
			return data, nil
		}
		more, err := io.Copy(io.Discard, io.LimitReader(r, most-size+1))
		switch {
		case err != nil:
			err = fmt.Errorf("after %d uncompressed bytes: %w", size+more, err)
		case size+more > most:
			err = tooMany
		case more == 0:
			return data, nil
		}
		l.Account.Give(size)
		if err != nil {
			return nil, err
		}
		size += more
	}
}

// fill reads up to size bytes, which it takes from the account.
func fill(r io.Reader, size int64, l Limits) ([]byte, error) {
	if err := l.Account.Take(size); err != nil {
		return nil, err
	}
	data := make([]byte, size)
	n, err := Read(r, data)
	if err != nil {
		l.Account.Give(size)
		return nil, fmt.Errorf("after %d uncompressed bytes: %w", n, err)
	}
	return data[:n], nil
}

// Read reads until data is full or r ends. Unlike [io.ReadFull] it returns no error for the end of r, so that an
// [io.ErrUnexpectedEOF] is always one of r.
func Read(r io.Reader, data []byte) (n int, err error) {
	for n < len(data) && err == nil {
		var k int
		k, err = r.Read(data[n:])
		n += k
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// Exactly returns the size bytes that r yields from packed bytes of compressed data. If they are fewer or more, or end
// with an error, the error comes with those that there are.
func Exactly(r io.Reader, packed, size int64, l Limits) ([]byte, error) {
	if most, tooMany := l.most(packed); size > most {
		return nil, tooMany
	}
	if err := l.Account.Take(size); err != nil {
		return nil, err
	}
	data := make([]byte, size)
	n, err := Read(r, data)
	if err == nil && int64(n) < size {
		err = fmt.Errorf("found %d decompressed bytes, want %d", n, size)
	}
	if err == nil {
		var more int
		if more, err = Read(r, make([]byte, 1)); more > 0 {
			err = fmt.Errorf("found more than %d decompressed bytes, want %[1]d", size)
		}
	}
	return data[:n], err
}

// readAhead is how much ReadAll allocates at first. What arrives over a network holds memory only when it is there.
const readAhead = 64 << 10

// ReadAll returns everything that r yields. It takes the memory from an account while the data arrive, of which size
// bytes are expected, or -1.
func ReadAll(r io.Reader, size int64, a *budget.Account) ([]byte, error) {
	if size < 0 || size > 16*readAhead {
		size = readAhead
	}
	if err := a.Take(size); err != nil {
		return nil, err
	}
	data := make([]byte, size)
	for n := 0; ; {
		k, err := Read(r, data[n:])
		if n += k; err != nil {
			return nil, err
		}
		if n < len(data) {
			return data[:n], nil
		}
		one := make([]byte, 1)
		if k, err = Read(r, one); err != nil || k == 0 {
			return data, err
		}
		grown := int64(n) + max(readAhead, int64(n)/2)
		if err := a.Take(grown); err != nil {
			return nil, err
		}
		data = append(append(make([]byte, 0, grown), data...), one...)[:grown]
		a.Give(int64(n))
		n++
	}
}
