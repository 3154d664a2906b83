package ingest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/voxelstream/voxelstream/internal/regular"
)

// fingerprintEdge is the number of bytes at each end of a file that a fingerprint covers: enough to distinguish
// recordings, and fast even for a file of terabytes.
const fingerprintEdge = 64 << 10

// maxStreamBase limits the part of a stream name that comes from a file name.
const maxStreamBase = 80

// Fingerprint returns the first 8 hexadecimal digits of SHA-256 over the size (8 bytes, little-endian) and the
// first and last 64 KiB of r. If the two ranges overlap, each byte counts once.
func Fingerprint(r io.ReaderAt, size int64) (string, error) {
	h := sha256.New()
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(size))
	h.Write(n[:])
	head := min(size, fingerprintEdge)
	if _, err := io.Copy(h, io.NewSectionReader(r, 0, head)); err != nil {
		return "", err
	}
	tail := max(head, size-fingerprintEdge)
	if _, err := io.Copy(h, io.NewSectionReader(r, tail, size-tail)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)[:4]), nil
}

// StreamName returns the name of the stream of the file at path: its base name, "-" and its fingerprint. The same
// content under the same name has the same stream name wherever it is stored; a file that changes gets another one.
// A symbolic link has the name of its target. A source that reads one of several parts of a file adds ":part".
func StreamName(path string) (string, error) {
	target, err := regular.Resolve(path)
	if err != nil {
		return "", err
	}
	return streamName(filepath.Base(target), path)
}

// FolderStreamName returns the name of the stream of a folder: its base name and the fingerprint of the file in it
// that lists or describes the rest.
func FolderStreamName(dir, listing string) (string, error) {
	abs, err := regular.Resolve(dir)
	if err != nil {
		return "", err
	}
	return streamName(filepath.Base(abs), filepath.Join(dir, listing))
}

// StreamPart returns the name of the stream of one part of a recording whose stream would be named base.
func StreamPart(base, part string) string { return base + ":" + printable(part) }

// NumberedPart is StreamPart for the n-th of several parts whose names are the same, or have the same beginning.
func NumberedPart(base, part string, n int) string {
	suffix := fmt.Sprintf("-%d", n)
	part = printable(part)
	return base + ":" + part[:min(len(part), maxStreamBase-len(suffix))] + suffix
}

func streamName(base, path string) (string, error) {
	f, info, err := regular.OpenShared(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	sum, err := Fingerprint(f, info.Size())
	if err != nil {
		return "", fmt.Errorf("fingerprint of %s: %w", path, err)
	}
	return printable(base) + "-" + sum, nil
}

// printable replaces characters that could be a problem in a Kafka key, a log line or a file name, and truncates
// long names.
func printable(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("._-+", r):
			return r
		}
		return '_'
	}, name)
	if len(name) > maxStreamBase {
		name = name[:maxStreamBase]
	}
	return name
}

// SameContent reports whether two files of the same size have the same content. Fingerprints do not cover all of it.
func SameContent(a, b string) (bool, error) {
	x, infoX, err := OpenRegular(a)
	if err != nil {
		return false, err
	}
	defer x.Close() //nolint:errcheck // opened for reading
	y, infoY, err := OpenRegular(b)
	if err != nil {
		return false, err
	}
	defer y.Close() //nolint:errcheck // opened for reading
	if os.SameFile(infoX, infoY) {
		return true, nil
	}
	const block = 1 << 20
	bufX, bufY := make([]byte, block), make([]byte, block)
	for {
		n, errX := io.ReadFull(x, bufX)
		m, errY := io.ReadFull(y, bufY)
		switch {
		case !bytes.Equal(bufX[:n], bufY[:m]):
			return false, nil
		case isEnd(errX) && isEnd(errY):
			return true, nil
		case errX != nil || errY != nil:
			return false, errors.Join(errX, errY)
		}
	}
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
