//go:build linux

package formats

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/budget"
	"github.com/voxelstream/voxelstream/internal/sandbox"
)

const (
	// testBudget is that of the process that reads bombs, testAddress the limit of its address space, and testPeak of
	// the memory that it touches: the budget, garbage and the program.
	testBudget  = 16 << 20
	testAddress = 2 << 30
	testPeak    = 128 << 20
	// bombSize is what bombs expand to, more than the budget. bigSize is more than the whole process may use.
	bombSize = 32 << 20
	bigSize  = 256 << 20
)

// repeat writes text until n bytes are written.
func repeat(w io.Writer, text string, n int) error {
	block := bytes.Repeat([]byte(text), max(1, 1<<16/len(text)))
	for ; n > 0; n -= len(block) {
		if _, err := w.Write(block); err != nil {
			return err
		}
	}
	return nil
}

// packed returns what write writes, in gzip members of at most a size.
func packed(tb testing.TB, write func(w io.Writer) error) []byte {
	tb.Helper()
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		tb.Fatal(err)
	}
	if err := errors.Join(write(z), z.Close()); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// gzipped returns a compressed file: a head, then a text that is repeated up to bombSize bytes.
func gzipped(tb testing.TB, head, text string) []byte {
	const part = 1 << 20
	one := packed(tb, func(w io.Writer) error { return repeat(w, text, part) })
	begin := packed(tb, func(w io.Writer) error {
		_, err := io.WriteString(w, head)
		return err
	})
	return append(begin, bytes.Repeat(one, bombSize/part)...)
}

// zstandard returns frames of RLE blocks: a window of 2 MiB, no size, and 128 KiB in 4 bytes each.
func zstandard(size int) []byte {
	out := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58}
	for ; size > 0; size -= 128 << 10 {
		header := 128<<10<<3 | 1<<1
		if size <= 128<<10 {
			header |= 1
		}
		out = append(out, byte(header), byte(header>>8), byte(header>>16), 0)
	}
	return out
}

// bzip2 is 45,000,000 zeros.
const bzip2Zeros = "425a6839314159265359c901b6c80158ab4020c00010000008200030cc0529a65248526c5492149e2ee48a70a12192036d90"

func bzipped(tb testing.TB, times int) []byte {
	one, err := hex.DecodeString(bzip2Zeros)
	if err != nil {
		tb.Fatal(err)
	}
	return bytes.Repeat(one, times)
}

// bag returns a ROS 1 recording with a chunk that claims a size.
func bag(compression string, data []byte, size uint32, times int) []byte {
	out := []byte("#ROSBAG V2.0\n")
	le := binary.LittleEndian
	for range times {
		var header []byte
		for _, f := range []string{
			"op=\x05", "compression=" + compression,
			"size=" + string(le.AppendUint32(nil, size)),
		} {
			header = append(le.AppendUint32(header, uint32(len(f))), f...)
		}
		out = append(le.AppendUint32(out, uint32(len(header))), header...)
		out = append(le.AppendUint32(out, uint32(len(data))), data...)
	}
	return out
}

// mcap returns a recording of chunks that claim a size.
func mcap(compression string, data []byte, size uint64, times int) []byte {
	le := binary.LittleEndian
	out := []byte("\x89MCAP0\r\n")
	for range times {
		body := make([]byte, 16)
		body = le.AppendUint32(le.AppendUint64(body, size), 0)
		body = append(le.AppendUint32(body, uint32(len(compression))), compression...)
		body = append(le.AppendUint64(body, uint64(len(data))), data...)
		out = append(le.AppendUint64(append(out, 6), uint64(len(body))), body...)
	}
	return out
}

// npy returns the header of an array of float32.
func npy(shape string, fortran string) string {
	dict := fmt.Sprintf("{'descr': '<f4', 'fortran_order': %s, 'shape': %s, }", fortran, shape)
	dict += strings.Repeat(" ", 117-len(dict)) + "\n"
	return "\x93NUMPY\x01\x00" + string(binary.LittleEndian.AppendUint16(nil, uint16(len(dict)))) + dict
}

// npz returns an archive of arrays of zeros, with a head. The directory has each times times.
func npz(tb testing.TB, head string, size, arrays, times int) []byte {
	tb.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for i := range arrays {
		w, err := z.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("a%04d.npy", i), Method: zip.Deflate})
		if err == nil {
			_, err = io.WriteString(w, head)
		}
		if err = errors.Join(err, repeat(w, "\x00", size)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	data := out.Bytes()
	if times == 1 {
		return data
	}
	at := bytes.Index(data, []byte("PK\x01\x02"))
	end := bytes.LastIndex(data, []byte("PK\x05\x06"))
	tail := bytes.Clone(data[end:])
	entry := data[at:end]
	le := binary.LittleEndian
	le.PutUint16(tail[8:], uint16(times))
	le.PutUint16(tail[10:], uint16(times))
	le.PutUint32(tail[12:], uint32(times*len(entry)))
	return slices.Concat(data[:at], bytes.Repeat(entry, times), tail)
}

// deflatedDICOM returns a file whose dataset is zeros.
func deflatedDICOM(tb testing.TB) []byte {
	tb.Helper()
	const syntax = "1.2.840.10008.1.2.1.99"
	out := append(make([]byte, 128), "DICM\x02\x00\x10\x00UI"...)
	out = append(binary.LittleEndian.AppendUint16(out, uint16(len(syntax))), syntax...)
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestCompression)
	if err == nil {
		err = repeat(w, "\x00", bombSize)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		tb.Fatal(err)
	}
	return append(out, packed.Bytes()...)
}

// png returns an image of a size that has no pixels.
func png(width, height uint32, bits, color byte) []byte {
	be := binary.BigEndian
	out := []byte("\x89PNG\r\n\x1a\n")
	chunk := func(kind string, data []byte) {
		out = be.AppendUint32(out, uint32(len(data)))
		body := append([]byte(kind), data...)
		out = be.AppendUint32(append(out, body...), crc32.ChecksumIEEE(body))
	}
	chunk("IHDR", append(be.AppendUint32(be.AppendUint32(nil, width), height), bits, color, 0, 0, 0))
	chunk("IDAT", []byte("\x78\x9c\x01\x00\x00\xff\xff\x00\x00\x00\x01"))
	chunk("IEND", nil)
	return out
}

// lzfPCD returns a file of points whose columns are packed: an LZF back reference yields 264 bytes from 3.
func lzfPCD() []byte {
	const refs = bombSize / 264
	data := []byte{0, 0} // a literal zero
	data = append(data, bytes.Repeat([]byte{7 << 5, 255, 0}, refs)...)
	n := refs * 264 / 12
	head := fmt.Sprintf("VERSION .7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH %d\nHEIGHT 1\nPOINTS %[1]d\n"+
		"DATA binary_compressed\n", n)
	le := binary.LittleEndian
	out := le.AppendUint32(le.AppendUint32([]byte(head), uint32(len(data))), uint32(n*12))
	return append(out, data...)
}

// nifti is the header of a volume of float32 with 1024 x 1024 x 8 voxels, and of four bytes for extensions.
func nifti() string {
	le := binary.LittleEndian
	h := make([]byte, 352)
	le.PutUint32(h, 348)
	for i, v := range []uint16{3, 1024, 1024, 8, 1, 1, 1, 1} {
		le.PutUint16(h[40+2*i:], v)
	}
	le.PutUint16(h[70:], 16) // float32
	le.PutUint16(h[72:], 32)
	for i := range 8 {
		le.PutUint32(h[76+4*i:], math.Float32bits(1))
	}
	le.PutUint32(h[108:], math.Float32bits(352))
	copy(h[344:], "n+1\x00")
	return string(h)
}

// bombs are files by name, with a part of the error that inspection and reading must give, if any.
func bombs(tb testing.TB) map[string]struct {
	data []byte
	want string
} {
	const limit = "(three quarters of ingest.memory)"
	type bomb = struct {
		data []byte
		want string
	}
	pcd := "VERSION .7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 2000000\nHEIGHT 1\nPOINTS 2000000\n"
	ply := "ply\nformat %s 1.0\nelement vertex 2600000\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
	ptx := "2000\n2000\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"
	binvox := "#binvox 1\ndim 256 256 256\ndata\n"
	idx := "\x00\x00\x08\x03\x00\x00\x04\x00\x00\x00\x01\x00\x00\x00\x01\x00"
	le := binary.LittleEndian
	one := func(text string, n int) []byte {
		return packed(tb, func(w io.Writer) error { return repeat(w, text, n) })
	}
	return map[string]bomb{
		// Text, tables and meshes.
		"zeros.xyz.gz":    {one("\x00", bigSize), ""},
		"numbers.xyz.gz":  {one("1 2 3\n", bigSize), limit},
		"members.xyz.gz":  {gzipped(tb, "", "1 2 3\n"), limit},
		"wide.pts.gz":     {gzipped(tb, "50000000\n", "1 2 3 4 5 6 7\n"), limit},
		"scan.ptx.gz":     {gzipped(tb, ptx, "1 2 3 4\n"), limit},
		"zeros.pcd.gz":    {gzipped(tb, pcd+"DATA binary\n", "\x00"), limit},
		"lzf.pcd":         {lzfPCD(), limit},
		"text.ply.gz":     {gzipped(tb, fmt.Sprintf(ply, "ascii"), "1 2 3\n"), limit},
		"binary.ply.gz":   {gzipped(tb, fmt.Sprintf(ply, "binary_little_endian"), "\x00"), limit},
		"faces.off.gz":    {gzipped(tb, "OFF\n40000000 0 0\n", "1 2 3\n"), limit},
		"kitti.bin.gz":    {gzipped(tb, "", "\x00\x00\x80\x3f"), limit},
		"points3D.bin.gz": {gzipped(tb, string(le.AppendUint64(nil, bombSize/51)), "\x00"), ""},
		// What is above the budget only when it is decoded.
		"grows.xyz.gz":           {one("1 2 3\n", 4<<20), limit},
		"grows.obj.gz":           {one("v 1 2 3\n", 4<<20), limit},
		"grows.binvox.gz":        {packed(tb, func(w io.Writer) error { return repeat(w, "\x00\xff", 1<<18) }), ""},
		"reconstruction.json.gz": {reconstruction(tb, 60_000), limit},
		// Frames of Zstandard.
		"scan.pcd.zst":   {slices.Concat(zstandard(bombSize), zstandard(bombSize)), ""},
		"frames.nii.zst": {bytes.Repeat(zstandard(1<<20), 320), ""},
		// Arrays and volumes.
		"many.npy.gz":     {gzipped(tb, npy("(8, 1024, 1024)", "False"), "\x00"), limit},
		"turned.npz":      {npz(tb, npy("(8, 1024, 1024)", "True"), bombSize, 1, 1), limit},
		"shared.npz":      {npz(tb, npy("(100, 100)", "False"), 40_000, 1, 1000), "share data"},
		"large.npz":       {npz(tb, npy("(1024, 1024)", "False"), 4<<20, 1, 2000), "in all parts"},
		"entries.npz":     {npz(tb, npy("(4, 4)", "False"), 64, 5000, 1), "entries"},
		"digits.idx.gz":   {gzipped(tb, idx, "\x00"), ""},
		"deflated.dcm":    {deflatedDICOM(tb), limit},
		"brain.nii.gz":    {gzipped(tb, nifti(), "\x00"), limit},
		"model.binvox.gz": {gzipped(tb, binvox, "\x00\xff"), limit},
		"cells.binvox.gz": {packed(tb, func(w io.Writer) error {
			_, err := io.WriteString(w, binvox)
			return errors.Join(err, repeat(w, "\x00\xff", 2*256*256*256/255+2))
		}), limit},
		// Images.
		"depth.png":    {png(8000, 8000, 16, 0), limit},
		"depth.pgm.gz": {gzipped(tb, "P2\n8000 8000\n65535\n", "1 "), limit},
		// Recordings.
		"bz2.bag":    {bag("bz2", bzipped(tb, 8), 360_000_000, 1), "in all parts"},
		"bz2s.bag":   {bag("bz2", bzipped(tb, 1), 45_000_000, 400), ""},
		"lies.bag":   {bag("bz2", bzipped(tb, 8), math.MaxUint32, 1), ""},
		"lz4.bag":    {bag("lz4", lz4Zeros(bombSize), bombSize, 1), limit},
		"zstd.mcap":  {mcap("zstd", zstandard(bombSize), bombSize, 1), limit},
		"zstds.mcap": {mcap("zstd", zstandard(8<<20), 8<<20, 3000), ""},
		"lz4.mcap":   {mcap("lz4", lz4Zeros(bombSize), bombSize, 1), limit},
		"lies.mcap":  {mcap("zstd", zstandard(bombSize), 10, 1), limit},
	}
}

// reconstruction returns a file of OpenSfM with n points, which take much less text than memory.
func reconstruction(tb testing.TB, n int) []byte {
	return packed(tb, func(w io.Writer) error {
		_, err := io.WriteString(w, `[{"cameras":{},"shots":{},"points":{"0":{}`)
		for i := 1; i < n && err == nil; i++ {
			_, err = fmt.Fprintf(w, `,"%d":{}`, i)
		}
		_, end := io.WriteString(w, "}}]")
		return errors.Join(err, end)
	})
}

// lz4Zeros returns an LZ4 frame of a block of zeros, 255 for each byte of its length.
func lz4Zeros(size int) []byte {
	le := binary.LittleEndian
	out := []byte{0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73} // version 1, independent blocks of up to 4 MiB
	for ; size > 0; size -= 4 << 20 {
		n := min(size, 4<<20)
		block := []byte{0x1f, 0, 1, 0} // one literal, then a match at distance 1
		left := n - 1 - 5 - 4 - 15     // the last five bytes are literals
		for ; left >= 255; left -= 255 {
			block = append(block, 255)
		}
		block = append(block, byte(left), 0x50, 0, 0, 0, 0, 0)
		out = append(le.AppendUint32(out, uint32(len(block))), block...)
	}
	return append(out, 0, 0, 0, 0)
}

// TestMemoryChild is run by the tests below in a process of its own. It reads the files of a folder one after the other
// under a budget, and prints a line for each: its name, the peak of the process in bytes, and the error of
// reading it.
func TestMemoryChild(t *testing.T) {
	dir := os.Getenv("FORMATS_TEST_MEMORY")
	if dir == "" {
		t.Skip("this is for a process of the other tests")
	}
	budget.LimitHeap(2 * testBudget)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	o := NewOptions()
	o.Budget = budget.New(testBudget)
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		err := readAll(t.Context(), path, o)
		if n := o.Budget.InUse(); n != 0 {
			err = fmt.Errorf("%d bytes are still held", n)
		}
		fmt.Printf("BOMB %s\t%d\t%q\n", e.Name(), peak(t), fmt.Sprint(err))
	}
}

// readAll reads an input to its end, and returns the first error.
func readAll(ctx context.Context, path string, o ingest.Options) error {
	src, err := Open(ctx, path, o)
	if err != nil {
		return err
	}
	var first error
	for {
		_, err := src.Read(ctx)
		if errors.Is(err, io.EOF) {
			return errors.Join(first, src.Close())
		}
		if first == nil {
			first = err
		}
		if _, item := errors.AsType[*ingest.ItemError](err); err != nil && !item {
			return errors.Join(err, src.Close())
		}
	}
}

// peak returns the most memory that this process has touched.
func peak(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	n, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}

// TestBombs: files that expand to more than the budget are refused in a process with limits, whose memory stays near the
// budget.
func TestBombs(t *testing.T) {
	if sandbox.Instrumented {
		t.Skip("this build needs more memory than the limits allow")
	}
	files, dir := bombs(t), t.TempDir()
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b.data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("sh", "-c", fmt.Sprintf(`ulimit -v %d && exec "$0" -test.run='^TestMemoryChild$'`, testAddress>>10),
		os.Args[0])
	cmd.Env = append(os.Environ(), "FORMATS_TEST_MEMORY="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("the process failed: %v: %s", err, out[max(0, len(out)-2000):])
	}
	before := int64(0)
	for line := range strings.Lines(string(out)) {
		text, ok := strings.CutPrefix(strings.TrimSpace(line), "BOMB ")
		if !ok {
			continue
		}
		f := strings.Split(text, "\t")
		name := f[0]
		most, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if most > testPeak && most > before {
			t.Errorf("%s: found a peak of %d MiB, want at most %d", name, most>>20, testPeak>>20)
		}
		before = most
		b := files[name]
		delete(files, name)
		if got := f[2]; got == `"<nil>"` || !strings.Contains(got, b.want) || strings.Contains(got, "still held") {
			t.Errorf("%s: found %s, want %q", name, got, b.want)
		}
	}
	for name := range files {
		t.Errorf("%s: not reached", name)
	}
}

// TestLargeFilesTogether: files that do not fit into the budget beside each other are all read, whatever their order.
func TestLargeFilesTogether(t *testing.T) {
	const budgetBytes, count = 16 << 20, 8
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	o := NewOptions()
	o.Budget = budget.New(budgetBytes)
	var all errgroup.Group
	for i := range count {
		var path string
		switch i % 3 {
		case 0: // 1.2 MB of text, and as numbers and as a cloud 4.8 MB each
			path = write(fmt.Sprintf("%d.xyz.gz", i), packed(t, func(w io.Writer) error {
				return repeat(w, "1 2 3\n", 1_200_000)
			}))
		case 1: // 4 MB in Fortran order: as stored, as numbers, and turned
			path = write(fmt.Sprintf("%d.npz", i), npz(t, npy("(1, 100, 100, 100)", "True"), 4_000_000, 1, 1))
		case 2:
			h := "\x00\x00\x08\x03\x00\x00\x00\x64\x00\x00\x00\x80\x00\x00\x00\x80"
			path = write(fmt.Sprintf("%d.idx", i), append([]byte(h), make([]byte, 100*128*128)...))
		}
		all.Go(func() error {
			for range 5 {
				if err := readAll(t.Context(), path, o); err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
	if n := o.Budget.InUse(); n != 0 {
		t.Errorf("found %d bytes in use, want 0", n)
	}
}
