package mnist3d

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/voxelstream/voxelstream/internal/regular"
)

// Side is the width and height of an MNIST image in pixels.
const Side = 28

// Image is an MNIST image: 28 rows of 28 pixels, 0 where there is no ink.
type Image [Side * Side]uint8

// Digit is an image with its label, 0 to 9.
type Digit struct {
	Image Image
	Label uint8
}

// The IDX format, http://yann.lecun.com/exdb/mnist: a big-endian magic number (0x08: bytes, then the number of
// dimensions), the size of each dimension as uint32, then the bytes.
const (
	magicImages = 0x00000803
	magicLabels = 0x00000801
	maxDigits   = 10_000_000
)

// LabelsOf returns the name of the file of labels that belongs to a file of images, by the names of MNIST.
func LabelsOf(images string) (string, error) {
	dir, name := filepath.Split(images)
	labels := strings.Replace(strings.Replace(name, "images", "labels", 1), "idx3", "idx1", 1)
	if labels == name {
		return "", fmt.Errorf("%s: found a name without \"images\", want one like train-images-idx3-ubyte.gz", images)
	}
	return filepath.Join(dir, labels), nil
}

// OpenIDX reads count digits, the first of them at position first, from a file of images and one of labels; a count
// of 0 means all that follow. Files may be gzip-compressed.
func OpenIDX(images, labels string, first, count int) ([]Digit, error) {
	fi, _, err := regular.Open(images)
	if err != nil {
		return nil, err
	}
	defer fi.Close() //nolint:errcheck // opened for reading
	fl, _, err := regular.Open(labels)
	if err != nil {
		return nil, err
	}
	defer fl.Close() //nolint:errcheck // opened for reading
	digits, err := ReadIDX(fi, fl, first, count)
	if err != nil {
		return nil, fmt.Errorf("digits of %s with labels of %s: %w", images, labels, err)
	}
	return digits, nil
}

// ReadIDX is like [OpenIDX] for open files. Memory depends on the actual content of the files, not on their
// headers.
func ReadIDX(images, labels io.Reader, first, count int) ([]Digit, error) {
	if first < 0 || count < 0 {
		return nil, fmt.Errorf("found first digit %d and count %d, want at least 0", first, count)
	}
	images, n, err := openIDX(images, magicImages, Side, Side)
	if err != nil {
		return nil, fmt.Errorf("images: %w", err)
	}
	labels, m, err := openIDX(labels, magicLabels)
	if err != nil {
		return nil, fmt.Errorf("labels: %w", err)
	}
	if n != m {
		return nil, fmt.Errorf("found %d images but %d labels", n, m)
	}
	if count == 0 && first < n {
		count = n - first
	}
	if first >= n || count > n-first {
		return nil, fmt.Errorf("found first digit %d and count %d, want digits within a file of %d", first, count, n)
	}
	if _, err := io.CopyN(io.Discard, images, int64(first)*Side*Side); err != nil {
		return nil, fmt.Errorf("images before %d: %w", first, noEOF(err))
	}
	if _, err := io.CopyN(io.Discard, labels, int64(first)); err != nil {
		return nil, fmt.Errorf("labels before %d: %w", first, noEOF(err))
	}
	var digits []Digit
	var label [1]uint8
	for i := first; i < first+count; i++ {
		var d Digit
		if _, err := io.ReadFull(images, d.Image[:]); err != nil {
			return nil, fmt.Errorf("image %d of %d: %w", i, n, noEOF(err))
		}
		if _, err := io.ReadFull(labels, label[:]); err != nil {
			return nil, fmt.Errorf("label %d of %d: %w", i, n, noEOF(err))
		}
		if d.Label = label[0]; d.Label > 9 {
			return nil, fmt.Errorf("label %d: found %d, want 0 to 9", i, d.Label)
		}
		digits = append(digits, d)
	}
	return digits, nil
}

// openIDX decompresses r if necessary, checks the header and returns the rest with the number of items. side is the
// required sizes of the other dimensions.
func openIDX(r io.Reader, magic uint32, side ...uint32) (io.Reader, int, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	if head, err := b.Peek(2); err == nil && bytes.Equal(head, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, 0, err
		}
		b = bufio.NewReaderSize(z, 64<<10)
	}
	var found uint32
	header := make([]uint32, 1+len(side))
	err := binary.Read(b, binary.BigEndian, &found)
	if err == nil && found != magic {
		return nil, 0, fmt.Errorf("found magic number %#08x, want %#08x", found, magic)
	}
	if err == nil {
		err = binary.Read(b, binary.BigEndian, header)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("header: %w", noEOF(err))
	}
	if header[0] > maxDigits {
		return nil, 0, fmt.Errorf("found %d items, want at most %d", header[0], maxDigits)
	}
	for i, want := range side {
		if header[1+i] != want {
			return nil, 0, fmt.Errorf("found items of size %v, want %v", header[1:], side)
		}
	}
	return b, int(header[0]), nil
}

// noEOF converts io.EOF to io.ErrUnexpectedEOF.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
