package unpack

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// archive returns a zip of files of a size, all zeros.
func archive(t *testing.T, files, size int) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for i := range files {
		f, err := w.CreateHeader(&zip.FileHeader{Name: strings.Repeat("x", 1+i%5), Method: zip.Deflate})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Offsets in the end of an archive, and in a header of its directory. APPNOTE.TXT, 4.3.12 and 4.3.16.
const (
	endSize       = 22
	endCount      = 8
	endLength     = 12
	headerLocal   = 42
	headerSize    = 24
	directorySign = "PK\x01\x02"
)

// repeated returns an archive whose directory has the first entry n times.
func repeated(data []byte, n int) []byte {
	at := bytes.Index(data, []byte(directorySign))
	end := len(data) - endSize
	next := at + 4 + bytes.Index(data[at+4:], []byte("PK"))
	out := append([]byte{}, data[:at]...)
	for range n {
		out = append(out, data[at:next]...)
	}
	tail := bytes.Clone(data[end:])
	binary.LittleEndian.PutUint16(tail[endCount:], uint16(n))
	binary.LittleEndian.PutUint16(tail[endCount+2:], uint16(n))
	binary.LittleEndian.PutUint32(tail[endLength:], uint32(n*(next-at)))
	return append(out, tail...)
}

func TestOpenZip(t *testing.T) {
	good := archive(t, 3, 1000)
	z, err := OpenZip(bytes.NewReader(good), int64(len(good)), 3)
	if err != nil || len(z.File) != 3 {
		t.Fatalf("found %v, want 3 entries", err)
	}
	empty := archive(t, 4, 0) // several entries without data
	if _, err := OpenZip(bytes.NewReader(empty), int64(len(empty)), 4); err != nil {
		t.Error(err)
	}
	inside := bytes.Clone(archive(t, 2, 1000)) // the second begins where the first does
	second := bytes.LastIndex(inside, []byte(directorySign))
	binary.LittleEndian.PutUint32(inside[second+headerLocal:], 0)
	large := bytes.Clone(archive(t, 1, 1000))
	binary.LittleEndian.PutUint32(large[bytes.Index(large, []byte(directorySign))+headerSize:], 1<<31)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"entries":   {archive(t, 4, 10), "found 4 entries, limit 3"},
		"directory": {archive(t, 5000, 0), "the list of entries is too long"},
		"shared":    {inside, "share data"},
		"repeated":  {repeated(archive(t, 1, 1000), 3), "share data"},
		"ratio":     {large, "found more than 67108864 uncompressed bytes in all parts"},
		"short":     {good[:len(good)/2], "zip"},
	} {
		if _, err := OpenZip(bytes.NewReader(c.data), int64(len(c.data)), 3); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: found %v, want %q", name, err, c.want)
		}
	}
}
