package volarrow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"

	damaged "github.com/voxelstream/voxelstream/internal/mutants"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

// volumes returns n volumes that differ in every field. The third has no time.
func volumes(n int, dims [3]int) []voxelize.Volume {
	rng := rand.New(rand.NewPCG(9, uint64(n)))
	vs := make([]voxelize.Volume, n)
	for i := range vs {
		vs[i] = voxelize.Volume{
			ID:   record.ID{Stream: "scan", Seq: 1<<63 + uint64(i)},
			Time: time.Date(2026, 1, 2, 3, 4, 5, i, time.UTC), Label: int32(i) - 1, Dims: dims,
			Content: voxelize.PaletteContent("Oranges"),
			Index:   make([]uint8, dims[0]*dims[1]*dims[2]), Origin: [3]float64{6.9e5 + float64(i), 5.3e6, -1},
			Edge:   0.1 * float32(i),
			Points: math.MaxUint32 - uint32(i), Outside: uint32(i),
		}
		for j := range vs[i].Index {
			vs[i].Index[j] = uint8(rng.Uint32())
		}
	}
	if n > 2 {
		vs[2].Time = time.Time{}
	}
	return vs
}

func mustEncode(t testing.TB, vs []voxelize.Volume) []byte {
	t.Helper()
	b, err := Encode(nil, vs)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	for _, tt := range []struct {
		n    int
		dims [3]int
	}{
		{1, [3]int{16, 16, 16}},
		{3, [3]int{16, 16, 16}},
		{9, [3]int{1, 2, 3}},
		{130, [3]int{1, 1, 1}},
		{2, [3]int{32, 8, 64}},
	} {
		vs := volumes(tt.n, tt.dims)
		for i := range vs {
			vs[i].Content.Palette = "viridis"
		}
		b, err := Encode([]byte("before"), vs)
		if err != nil {
			t.Fatal(err)
		}
		if string(b[:6]) != "before" {
			t.Fatal("Encode did not append to dst")
		}
		batch, err := Decode(b[6:], "scan") // offset 6: decoding must not rely on alignment
		if err != nil {
			t.Fatal(err)
		}
		want := Batch{Content: voxelize.PaletteContent("viridis"), Dims: tt.dims, Volumes: vs}
		if !reflect.DeepEqual(batch, want) {
			t.Errorf("%d volumes of %v: found %+v", tt.n, tt.dims, batch)
		}
	}
}

func TestDecodeDoesNotCopyVoxels(t *testing.T) {
	vs := volumes(3, [3]int{16, 16, 16})
	b := mustEncode(t, vs)
	batch, err := Decode(b, "scan")
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, vs[1].Index)
	if at < 0 || &batch.Volumes[1].Index[0] != &b[at] {
		t.Error("the decoded voxels do not share the memory of the message")
	}
	gathered := func(vs []voxelize.Volume) []uint8 {
		return together(vs, 4096, func(v *voxelize.Volume) []uint8 { return v.Index })
	}
	if &gathered(batch.Volumes)[0] != &batch.Volumes[0].Index[0] {
		t.Error("contiguous volumes were copied before encoding")
	}
	if !bytes.Equal(mustEncode(t, batch.Volumes), b) {
		t.Error("encoding a decoded message gave other bytes")
	}
	swapped := []voxelize.Volume{batch.Volumes[1], batch.Volumes[0]}
	if got := gathered(swapped); !bytes.Equal(got, append(bytes.Clone(vs[1].Index), vs[0].Index...)) {
		t.Error("reordered volumes were not gathered in the given order")
	}
}

// TestArrowReadsTheSame reads our message with Arrow's own reader, with and without the extension type registered.
func TestArrowReadsTheSame(t *testing.T) {
	vs := volumes(4, [3]int{4, 5, 6})
	b := mustEncode(t, vs)
	read := func() {
		t.Helper()
		mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
		defer mem.AssertSize(t, 0)
		r, err := ipc.NewReader(bytes.NewReader(b), ipc.WithAllocator(mem))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Release()
		if !r.Next() {
			t.Fatalf("no record: %v", r.Err())
		}
		rec := r.Record()
		voxels := rec.Column(0)
		if e, ok := voxels.(array.ExtensionArray); ok {
			if shape := e.ExtensionType().(*FixedShapeTensor).Shape(); !reflect.DeepEqual(shape, []int64{4, 5, 6}) {
				t.Errorf("found shape %v, want [4 5 6]", shape)
			}
			voxels = e.Storage()
		}
		values := voxels.(*array.FixedSizeList).ListValues().(*array.Uint8).Uint8Values()
		times := rec.Column(2).(*array.Timestamp)
		for i := range vs {
			if !bytes.Equal(values[i*120:(i+1)*120], vs[i].Index) ||
				rec.Column(1).(*array.Uint64).Value(i) != vs[i].Seq {
				t.Errorf("row %d differs", i)
			}
			if times.IsNull(i) != vs[i].Time.IsZero() ||
				times.IsValid(i) && int64(times.Value(i)) != vs[i].Time.UnixNano() {
				t.Errorf("row %d: found time %v, want %v", i, times.Value(i), vs[i].Time)
			}
		}
		if r.Next() || r.Err() != nil {
			t.Errorf("found a second record or error %v, want one record", r.Err())
		}
	}
	read()
	if err := arrow.RegisterExtensionType(&FixedShapeTensor{}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = arrow.UnregisterExtensionType("arrow.fixed_shape_tensor") }()
	read()
}

func TestEncodeFreesMemory(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	vs := volumes(5, [3]int{2, 2, 2})
	if _, err := encode(nil, vs, mem); err != nil {
		t.Fatal(err)
	}
	vs[4].Dims = [3]int{1, 2, 4}
	if _, err := encode(nil, vs, mem); err == nil {
		t.Error("volumes with different dims: want an error")
	}
}

func TestEncodeErrors(t *testing.T) {
	change := func(f func(v *voxelize.Volume)) []voxelize.Volume {
		vs := volumes(2, [3]int{2, 2, 2})
		f(&vs[1])
		return vs
	}
	for _, tt := range []struct {
		name, want string
		vs         []voxelize.Volume
	}{
		{"nothing", "no volumes", nil},
		{"palette", `"Rainbow"`, []voxelize.Volume{{
			Dims: [3]int{1, 1, 1}, Index: []uint8{1},
			Content: voxelize.PaletteContent("Rainbow"),
		}}},
		{"no content", "0 channels", []voxelize.Volume{{Dims: [3]int{1, 1, 1}, Index: []uint8{1}}}},
		{"contents", "viridis", change(func(v *voxelize.Volume) { v.Content.Palette = "viridis" })},
		{"streams", "other/9223372036854775809", change(func(v *voxelize.Volume) { v.Stream = "other" })},
		{"dims", "2x2x3", change(func(v *voxelize.Volume) { v.Dims[2] = 3 })},
		{
			"short", "found 7 bytes and 0 float32 values, want 8 and 0",
			change(func(v *voxelize.Volume) { v.Index = v.Index[:7] }),
		},
		{
			"time", "want a year between 1677 and 2262",
			change(func(v *voxelize.Volume) { v.Time = time.Unix(1<<40, 0) }),
		},
		{"too many cells", "at most", []voxelize.Volume{{
			Dims:    [3]int{1 << 12, 1 << 12, 2},
			Content: voxelize.PaletteContent("gray"),
		}}},
		{"no cells", "at least 1 per axis", []voxelize.Volume{{
			Dims:    [3]int{1, 0, 1},
			Content: voxelize.PaletteContent("gray"),
		}}},
	} {
		dst, err := Encode([]byte("x"), tt.vs)
		if err == nil || !strings.Contains(err.Error(), tt.want) || string(dst) != "x" {
			t.Errorf("%s: found %q and error %v, want dst unchanged and an error with %q", tt.name, dst, err, tt.want)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	good := mustEncode(t, volumes(3, [3]int{4, 4, 4}))
	frame := 8 + int(binary.LittleEndian.Uint32(good[4:]))
	edit := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	var compressed bytes.Buffer
	l, err := layoutOf(kind{[3]int{4, 4, 4}, voxelize.PaletteContent("Oranges"), 1, version1Columns})
	if err != nil {
		t.Fatal(err)
	}
	rec, err := l.record(volumes(3, [3]int{4, 4, 4}))
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	w := ipc.NewWriter(&compressed, ipc.WithSchema(l.schema), ipc.WithLZ4())
	if err := errors.Join(w.Write(rec), w.Close()); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, want string
		b          []byte
	}{
		{"empty", "found an empty message", nil},
		{"text", `not an Arrow message: it begins with "volumes"`, []byte("volumes")},
		{"only the schema", "no message header", good[:frame]},
		{"no record", "found metadata of 0 bytes", append(bytes.Clone(good[:frame]), "\xff\xff\xff\xff\x00\x00\x00\x00"...)},
		{"schema twice", "message of kind 1", append(bytes.Clone(good[:frame]), good...)},
		{"no end", "want the body, the end marker and nothing else", good[:len(good)-8]},
		{"trailing byte", "nothing else", append(bytes.Clone(good), 0)},
		{"compressed", "compressed", compressed.Bytes()},
		{
			"other dims", "differs from the version 1 schema",
			edit(func(b []byte) []byte { return bytes.Replace(b, []byte(`[4,4,4]`), []byte(`[4,4,5]`), 1) }),
		},
		{"huge dims", "at most", edit(func(b []byte) []byte {
			return bytes.Replace(b, []byte(`[4,4,4]`), []byte(`[9999999,9999999,9999999]`), 1)
		})},
		{"negative dims", "at least 1", edit(func(b []byte) []byte {
			return bytes.Replace(b, []byte(`[4,4,4]`), []byte(`[4,-4,4]`), 1)
		})},
		{"other version", "foreign schema", edit(func(b []byte) []byte { b[8+20] ^= 1; return b })},
		{"marker", "no message", edit(func(b []byte) []byte { b[frame] = 0; return b })},
		{"metadata length", "metadata of", edit(func(b []byte) []byte { b[frame+7] = 0x7f; return b })},
	} {
		_, err := Decode(tt.b, "scan")
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: found error %v, want it to contain %q", tt.name, err, tt.want)
		}
	}
	for n := range len(good) {
		if _, err := Decode(good[:n:n], "scan"); err == nil {
			t.Fatalf("the first %d of %d bytes: want an error", n, len(good))
		}
	}
}

// mutate returns a copy of b, damaged in one to four places by bit flips, extreme values, copies within b and
// truncation.
func mutate(rng *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + rng.IntN(4) {
		if len(b) < 16 {
			return b
		}
		// The metadata is small compared with the voxels, and more likely to do harm, so most of the damage is there.
		limit := len(b)
		if rng.IntN(4) > 0 {
			limit = min(limit, 3000)
		}
		p := rng.IntN(limit - 8)
		switch rng.IntN(6) {
		case 0:
			b[p] ^= 1 << rng.IntN(8)
		case 1:
			b[p] = byte(rng.Uint32())
		case 2:
			binary.LittleEndian.PutUint32(b[p&^3:],
				[]uint32{0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffff0, 1 << 20}[rng.IntN(7)])
		case 3:
			binary.LittleEndian.PutUint64(b[p&^7:],
				[]uint64{0, 1, 1 << 62, 1 << 63, math.MaxUint64, 1 << 32, 4096}[rng.IntN(7)])
		case 4:
			copy(b[p:p+8], b[rng.IntN(limit-8):])
		case 5:
			if rng.IntN(4) == 0 {
				b = b[:p]
			}
		}
	}
	return b
}

// check decodes a message that may be damaged. If it can be decoded, check encodes and decodes it again.
func check(t *testing.T, b []byte) bool {
	t.Helper()
	batch, err := Decode(b, "scan")
	if err != nil {
		if len(batch.Volumes) != 0 {
			t.Error("Decode returned volumes and an error")
		}
		return false
	}
	again, err := Encode(nil, batch.Volumes)
	if err != nil {
		t.Errorf("encoding a decoded batch: %v", err)
		return true
	}
	if _, err := Decode(again, "scan"); err != nil {
		t.Errorf("decoding a batch encoded again: %v", err)
	}
	return true
}

// mutants returns the number of damaged messages to try: VOXELSTREAM_MUTANTS, or 2,000.
func mutants(t *testing.T) int {
	t.Helper()
	n := 2000
	if s := os.Getenv("VOXELSTREAM_MUTANTS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// decodeMutants decodes damaged copies of good messages. Decode must not panic or allocate more than 256 KiB. In every
// repair-th copy the schema is restored, so that damage after it is reached.
func decodeMutants(t *testing.T, seed uint64, repair int, good ...[]byte) {
	t.Helper()
	n := mutants(t)
	rng := rand.New(rand.NewPCG(seed, seed))
	accepted := 0
	var before, after runtime.MemStats
	for i := range n {
		whole := good[i%len(good)]
		b := mutate(rng, whole)
		if i%repair == 0 {
			copy(b, whole[:8+binary.LittleEndian.Uint32(whole[4:])])
		}
		runtime.ReadMemStats(&before)
		_, err := Decode(b, "scan")
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 256<<10 {
			t.Fatalf("mutant %d allocated %d bytes", i, grown)
		}
		if err == nil {
			accepted++
		}
		check(t, b)
	}
	t.Logf("%d of %d mutants were still valid messages (damaged voxels, numbers or names)", accepted, n)
	if accepted == n {
		t.Error("no mutant was rejected")
	}
}

func TestMutants(t *testing.T) {
	decodeMutants(t, 15, 2, mustEncode(t, volumes(4, [3]int{8, 8, 8})))
}

func FuzzDecode(f *testing.F) {
	m := damaged.New(f, "volumes")
	m.Add(mustEncode(f, volumes(1, [3]int{1, 2, 2})))
	m.Add(mustEncode(f, volumes(4, [3]int{2, 2, 2})))
	for _, b := range messages2(f) {
		m.Add(b)
	}
	m.Fuzz(func(t *testing.T, b []byte) { check(t, b) })
}

// FuzzRecord fuzzes the record after a valid schema, which FuzzDecode rarely reaches.
func FuzzRecord(f *testing.F) {
	m := damaged.New(f, "volumes: record")
	l, err := layoutOf(kind{[3]int{2, 2, 2}, voxelize.PaletteContent("Oranges"), 1, version1Columns})
	if err != nil {
		f.Fatal(err)
	}
	m.Add(mustEncode(f, volumes(4, [3]int{2, 2, 2}))[len(l.frame):])
	m.Fuzz(func(t *testing.T, b []byte) { check(t, append(bytes.Clone(l.frame), b...)) })
}

func TestTensorTypeErrors(t *testing.T) {
	storage := arrow.FixedSizeListOf(8, arrow.PrimitiveTypes.Uint8)
	for _, tt := range []struct {
		storage arrow.DataType
		data    string
	}{
		{arrow.PrimitiveTypes.Uint8, `{"shape":[8]}`},
		{storage, `{"shape":[2,2]}`},
		{storage, `{"shape":[2,2,3]}`},
		{storage, `{"shape":[0,8]}`},
		{storage, `{"shape":[-8]}`},
		{storage, `{"shape":[4294967296,4294967296,8]}`},
		{storage, `{"shape":[2,4],"dim_names":["a"]}`},
		{storage, `{"shape":[2,4],"permutation":[1,0]}`},
		{storage, `{`},
	} {
		if got, err := (&FixedShapeTensor{}).Deserialize(tt.storage, tt.data); err == nil {
			t.Errorf("%s over %s: found %v, want an error", tt.data, tt.storage, got)
		}
	}
	want := NewFixedShapeTensor(arrow.PrimitiveTypes.Uint8, []int64{2, 4}, []string{"a", "b"})
	got, err := want.Deserialize(want.StorageType(), want.Serialize())
	if err != nil || !want.ExtensionEquals(got) {
		t.Errorf("round trip: found %v, %v", got, err)
	}
	if want.ExtensionEquals(NewFixedShapeTensor(arrow.PrimitiveTypes.Uint8, []int64{4, 2}, []string{"a", "b"})) {
		t.Error("tensor types of different shapes are equal")
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, n := range []int{1, 64} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			vs := volumes(n, [3]int{16, 16, 16})
			var dst []byte
			b.ReportAllocs()
			b.SetBytes(int64(n * 4096))
			for b.Loop() {
				var err error
				if dst, err = Encode(dst[:0], vs); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "volumes/s")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{1, 64} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			msg := mustEncode(b, volumes(n, [3]int{16, 16, 16}))
			b.ReportAllocs()
			b.SetBytes(int64(n * 4096))
			for b.Loop() {
				if _, err := Decode(msg, "scan"); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "volumes/s")
		})
	}
}
