package volarrow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

// contents lists contents that need version 2, and a palette.
var contents = []voxelize.Content{
	voxelize.FloatContent(1), voxelize.FloatContent(3), voxelize.ByteContent(1, 4, -1024),
	voxelize.ByteContent(2, -0.1, 1e-20),
	voxelize.PaletteContent("gray"),
	{Channels: 2, Float: true, Values: "window:-1000:400"},
	{Channels: 1, Scale: 1, Values: "standard:0.5:2"},
	{Palette: "gray", Channels: 1, Values: "palette:-160:240"},
}

// raw returns n volumes of a content. If objects is true, they are views of objects; every third has no box, every
// third no distance, and every second either a pose or a velocity.
func raw(n int, dims [3]int, c voxelize.Content, objects bool) []voxelize.Volume {
	rng := rand.New(rand.NewPCG(3, uint64(n)))
	vs := volumes(n, dims)
	for i := range vs {
		v := &vs[i]
		v.Content = c
		size := dims[0] * dims[1] * dims[2] * c.Channels
		if c.Float {
			v.Index, v.Values = nil, make([]float32, size)
			for k := range v.Values {
				v.Values[k] = rng.Float32()*2000 - 1000
			}
		} else {
			v.Index = make([]uint8, size)
			for k := range v.Index {
				v.Index[k] = uint8(rng.Uint32())
			}
		}
		if !objects {
			continue
		}
		v.Object, v.View, v.Track = uint32(i), uint32(n-i), math.MaxUint64-uint64(i)
		v.Cell = [3]float64{4, 0.16, float64(i)}
		if i%3 != 2 {
			v.Box = &record.Box{
				Center: [3]float64{6.9e5 + float64(i), .1, -.2},
				Size:   [3]float32{4.5, 1.9, .1 * float32(i)}, Yaw: -3,
			}
		}
		if i%2 == 0 {
			pose := ingest.Identity()
			pose.R[1], pose.R[3], pose.T = .25, -.25, [3]float64{1, 2, 3 + float64(i)}
			v.Pose = &pose
		}
		if i%3 != 1 {
			v.Distance = &record.Distance{Nearest: 1 + float64(i), Median: 2, Center: 3, Deviation: .1, Valid: .5}
		}
		if i%2 == 1 {
			v.Velocity = &[3]float32{.1, -.2, float32(i)}
		}
	}
	return vs
}

// TestVersion1IsUnchanged compares with a message written before version 2 existed.
func TestVersion1IsUnchanged(t *testing.T) {
	want, err := os.ReadFile("testdata/version1.arrow")
	if err != nil {
		t.Fatal(err)
	}
	vs := volumes(3, [3]int{2, 3, 4})
	if got := mustEncode(t, vs); !bytes.Equal(got, want) {
		t.Errorf("found %d bytes that differ from the %d bytes of testdata/version1.arrow", len(got), len(want))
	}
	batch, err := Decode(want, "scan")
	if err != nil || !reflect.DeepEqual(batch.Volumes, vs) {
		t.Errorf("testdata/version1.arrow: found %+v, %v", batch, err)
	}
}

func TestVersion(t *testing.T) {
	for _, tt := range []struct {
		want   int
		change func(v *voxelize.Volume)
	}{
		{1, func(*voxelize.Volume) {}},
		{2, func(v *voxelize.Volume) { v.Object = 1 }},
		{2, func(v *voxelize.Volume) { v.View = 1 }},
		{2, func(v *voxelize.Volume) { v.Track = 1 }},
		{2, func(v *voxelize.Volume) { v.Cell = [3]float64{4, 0.16, 0.2} }},
		{2, func(v *voxelize.Volume) { v.Box = &record.Box{} }},
		{2, func(v *voxelize.Volume) { v.Pose = &ingest.Pose{} }},
		{2, func(v *voxelize.Volume) { v.Distance = &record.Distance{} }},
		{2, func(v *voxelize.Volume) { v.Velocity = &[3]float32{} }},
	} {
		vs := volumes(3, [3]int{1, 2, 3})
		tt.change(&vs[2])
		if got := Version(vs); got != tt.want {
			t.Errorf("%+v: found version %d, want %d", vs[2], got, tt.want)
		}
		batch, err := Decode(mustEncode(t, vs), "scan")
		if err != nil || !reflect.DeepEqual(batch.Volumes, vs) {
			t.Errorf("round trip of %+v: found %+v, %v", vs, batch.Volumes, err)
		}
	}
	for _, c := range contents[:4] {
		if got := Version(raw(1, [3]int{1, 1, 1}, c, false)); got != 2 {
			t.Errorf("%v: found version %d, want 2", c, got)
		}
	}
}

func TestVersion2RoundTrip(t *testing.T) {
	for _, c := range contents {
		for _, objects := range []bool{false, true} {
			for _, n := range []int{1, 9, 70} {
				dims := [3]int{2, 3, 1 + n%4}
				vs := raw(n, dims, c, objects)
				for offset := range 5 { // decoding must not rely on alignment
					b, err := Encode(make([]byte, offset), vs)
					if err != nil {
						t.Fatal(err)
					}
					batch, err := Decode(b[offset:], "scan")
					if err != nil {
						t.Fatal(err)
					}
					if want := (Batch{Content: c, Dims: dims, Volumes: vs}); !reflect.DeepEqual(batch, want) {
						t.Errorf("%d volumes of %v, objects %v, at offset %d: found %+v", n, c, objects, offset, batch)
					}
					again, err := Encode(nil, batch.Volumes)
					if err != nil || !bytes.Equal(again, b[offset:]) {
						t.Errorf("encoding a decoded message gave other bytes, or error %v", err)
					}
				}
			}
		}
	}
}

func TestDecodeDoesNotCopyValues(t *testing.T) {
	vs := raw(3, [3]int{16, 16, 16}, voxelize.FloatContent(2), true)
	b := mustEncode(t, vs)
	batch, err := Decode(b, "scan")
	if err != nil {
		t.Fatal(err)
	}
	inside := func() bool { return batch.Volumes[1].Values[7] == math.Float32frombits(0x40490fdb) }
	if inside() {
		t.Fatal("the message already contains the test value")
	}
	var was [4]byte
	binary.LittleEndian.PutUint32(was[:], math.Float32bits(vs[1].Values[7]))
	_, rest, found := bytes.Cut(b, was[:])
	if !found {
		t.Fatal("the message does not contain the value")
	}
	copy(b[len(b)-len(rest)-len(was):], "\xdb\x0f\x49\x40")
	if !inside() {
		t.Error("the decoded values do not share the memory of the message")
	}
	of := func(v *voxelize.Volume) []float32 { return v.Values }
	if all := together(batch.Volumes, 2*4096, of); &all[0] != &batch.Volumes[0].Values[0] {
		t.Error("contiguous volumes were copied before encoding")
	}
}

// TestArrowReadsVersion2 reads our message with Arrow's own reader.
func TestArrowReadsVersion2(t *testing.T) {
	vs := raw(4, [3]int{4, 5, 6}, voxelize.FloatContent(3), true)
	r, err := ipc.NewReader(bytes.NewReader(mustEncode(t, vs)))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	if !r.Next() {
		t.Fatalf("no record: %v", r.Err())
	}
	rec := r.Record()
	column := func(name string) arrow.Array {
		t.Helper()
		i := rec.Schema().FieldIndices(name)
		if len(i) != 1 {
			t.Fatalf("found %d columns %s, want 1", len(i), name)
		}
		return rec.Column(i[0])
	}
	values := column("voxels").(*array.FixedSizeList).ListValues().(*array.Float32).Float32Values()
	boxes, objects := column("box").(*array.FixedSizeList), column("object").(*array.Uint32)
	poses := column("pose").(*array.FixedSizeList).ListValues().(*array.Float64).Float64Values()
	for i, v := range vs {
		if !slices.Equal(values[i*360:(i+1)*360], v.Values) || objects.Value(i) != v.Object ||
			boxes.IsNull(i) != (v.Box == nil) {
			t.Errorf("row %d differs", i)
		}
		if v.Pose != nil && !slices.Equal(poses[12*i:12*i+8], []float64{1, .25, 0, 1, -.25, 1, 0, 2}) {
			t.Errorf("row %d: found pose %v, want the rows of %v", i, poses[12*i:12*i+12], *v.Pose)
		}
	}
}

// TestForeignWriter reads the output of testdata/version2.py: unknown columns, missing columns, nulls, another order.
func TestForeignWriter(t *testing.T) {
	read := func(name string) Batch {
		t.Helper()
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		batch, err := Decode(b, "scan")
		if err != nil {
			t.Fatal(err)
		}
		return batch
	}
	dims := [3]int{2, 3, 4}

	var vs []voxelize.Volume
	for i, object := range []uint32{1, 0, 3} {
		v := voxelize.Volume{
			ID: record.ID{Stream: "scan", Seq: 7 + uint64(i), Object: object}, Label: -1, Dims: dims,
			Content: voxelize.FloatContent(2),
			Track:   []uint64{1 << 63, 0, 5}[i],
			Box: []*record.Box{
				{Center: [3]float64{1, 2, 3}, Size: [3]float32{4, 5, 6}, Yaw: .5},
				nil,
				{Center: [3]float64{7, 8, 9}, Size: [3]float32{1, 1, 1}, Yaw: -.25},
			}[i],
		}
		for k := range 48 {
			v.Values = append(v.Values, float32(48*i+k)/4-10)
		}
		vs = append(vs, v)
	}
	if got := read("version2-float.arrow"); !reflect.DeepEqual(got,
		Batch{Content: voxelize.FloatContent(2), Dims: dims, Volumes: vs}) {
		t.Errorf("found %+v, want %+v", got, vs)
	}

	vs = nil
	for i := range 3 {
		v := voxelize.Volume{
			ID: record.ID{Stream: "scan", Seq: 1 + uint64(i), View: 1 + uint32(i)}, Label: []int32{4, -1, -1}[i],
			Dims:    dims,
			Content: voxelize.ByteContent(1, 4, -1000), Origin: [][3]float64{{1, 2, 3}, {}, {4, 5, 6}}[i],
			Edge:   []float32{.5, .25, 0}[i],
			Points: 1 + uint32(i),
		}
		if i != 1 {
			v.Time = time.Unix(0, 10+20*int64(i)/2).UTC()
		}
		if i == 0 {
			v.Pose = &ingest.Pose{R: ingest.Identity().R, T: [3]float64{5, 6, 7}}
		}
		for k := range 24 {
			v.Index = append(v.Index, uint8(24*i+k))
		}
		vs = append(vs, v)
	}
	if got := read("version2-bytes.arrow"); !reflect.DeepEqual(got,
		Batch{Content: voxelize.ByteContent(1, 4, -1000), Dims: dims, Volumes: vs}) {
		t.Errorf("found %+v, want %+v", got, vs)
	}

	for i := range vs {
		v := &vs[i]
		v.View, v.Object, v.Track, v.Label = 0, 1+uint32(i), 5, -1
		v.Time, v.Origin, v.Edge, v.Points, v.Pose = time.Time{}, [3]float64{}, 0, 0, nil
		v.Content = voxelize.ByteContent(1, 1, 0)
		v.Distance = []*record.Distance{{Nearest: 1.5, Median: 2, Center: 2.5, Deviation: .125, Valid: .75}, nil, {}}[i]
		v.Velocity = []*[3]float32{nil, {1, -2, .5}, {}}[i]
	}
	if got := read("version2-objects.arrow"); !reflect.DeepEqual(got,
		Batch{Content: voxelize.ByteContent(1, 1, 0), Dims: dims, Volumes: vs}) {
		t.Errorf("found %+v, want %+v", got, vs)
	}
}

// table builds a message from columns, in order, and metadata.
type table struct {
	names    []string
	arrays   []arrow.Array
	metadata map[string]string
	fields   map[string]arrow.Metadata
}

// newTable returns a table with the required columns: two volumes of 2x1x2 cells of float32.
func newTable() *table {
	x := &table{metadata: map[string]string{KeyVersion: "2", KeyDims: "2,1,2"}, fields: map[string]arrow.Metadata{}}
	x.set("voxels", listsOf(arrow.PrimitiveTypes.Float32, 4, `[[1,2,3,4],[5,6,7,8]]`))
	x.set("seq", arrayOf(arrow.PrimitiveTypes.Uint64, `[3,4]`))
	return x
}

func arrayOf(t arrow.DataType, json string) arrow.Array {
	a, _, err := array.FromJSON(memory.DefaultAllocator, t, strings.NewReader(json))
	if err != nil {
		panic(err)
	}
	return a
}

func listsOf(elem arrow.DataType, n int32, json string) arrow.Array {
	return arrayOf(arrow.FixedSizeListOf(n, elem), json)
}

// set adds a column or replaces it.
func (x *table) set(name string, a arrow.Array) {
	if i := slices.Index(x.names, name); i >= 0 {
		x.arrays[i] = a
		return
	}
	x.names, x.arrays = append(x.names, name), append(x.arrays, a)
}

func (x *table) remove(name string) {
	i := slices.Index(x.names, name)
	x.names, x.arrays = slices.Delete(x.names, i, i+1), slices.Delete(x.arrays, i, i+1)
}

// message encodes the table.
func (x *table) message(t testing.TB, records int) []byte {
	t.Helper()
	var fields []arrow.Field
	for i, name := range x.names {
		fields = append(fields, arrow.Field{
			Name: name, Type: x.arrays[i].DataType(), Nullable: true,
			Metadata: x.fields[name],
		})
	}
	metadata := arrow.MetadataFrom(x.metadata)
	schema := arrow.NewSchema(fields, &metadata)
	rec := array.NewRecord(schema, x.arrays, int64(x.arrays[0].Len()))
	var b bytes.Buffer
	w := ipc.NewWriter(&b, ipc.WithSchema(schema))
	var errs []error
	for range records {
		errs = append(errs, w.Write(rec))
	}
	if err := errors.Join(append(errs, w.Close())...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestVersion2Errors(t *testing.T) {
	if batch, err := Decode(newTable().message(t, 1), "scan"); err != nil || len(batch.Volumes) != 2 ||
		batch.Volumes[1].Values[3] != 8 {
		t.Fatalf("unchanged message: found %+v, %v", batch, err)
	}
	tensor := func(metadata string) func(x *table) {
		return func(x *table) {
			x.fields["voxels"] = arrow.NewMetadata([]string{keyExtension, keyExtensionMetadata},
				[]string{"arrow.fixed_shape_tensor", metadata})
		}
	}
	setting := func(key, value string) func(x *table) { return func(x *table) { x.metadata[key] = value } }
	bytesOf := func(f func(x *table)) func(x *table) {
		return func(x *table) {
			x.set("voxels", listsOf(arrow.PrimitiveTypes.Uint8, 4, `[[1,2,3,4],[5,6,7,8]]`))
			f(x)
		}
	}
	column := func(name string, t arrow.DataType, json string) func(x *table) {
		return func(x *table) { x.set(name, arrayOf(t, json)) }
	}
	var deep arrow.DataType = arrow.PrimitiveTypes.Int8
	deepJSON := "1"
	for range 8 {
		deep, deepJSON = arrow.ListOf(deep), "["+deepJSON+"]"
	}
	for _, tt := range []struct {
		name, want string
		change     func(x *table)
	}{
		{"version 3", `found version "3", want 1 or 2`, setting(KeyVersion, "3")},
		{"version 1", "no tensor shape", setting(KeyVersion, "1")},
		{"no version", "no tensor shape", func(x *table) { delete(x.metadata, KeyVersion) }},
		{"no dims", `voxelstream.dims: found "", want D,H,W`, func(x *table) { delete(x.metadata, KeyDims) }},
		{
			"other dims", "found fixed_size_list<float32>[4], want fixed_size_list<float32>[6]",
			setting(KeyDims, "1,2,3"),
		},
		{"no cells", "at least 1 per axis", setting(KeyDims, "-2,-1,2")},
		{"huge dims", "at most", setting(KeyDims, "4294967296,4294967296,4294967296")},
		{"channels", "found fixed_size_list<float32>[4], want fixed_size_list<float32>[8]", setting(KeyChannels, "2")},
		{"channels as text", `found "two", want a number`, setting(KeyChannels, "two")},
		{"no channels", "found 0 channels, want 1 to 1024", setting(KeyChannels, "0")},
		{"palette of floats", "want indices with 1 channel", setting(KeyPalette, "Oranges")},
		{"unknown palette", `"Rainbow": want one of`, bytesOf(setting(KeyPalette, "Rainbow"))},
		{"long setting", "want it once with at most 256", setting(KeyPalette, strings.Repeat("x", 257))},
		{"scale of floats", "want neither", setting(KeyScale, "2")},
		{"scale of nothing", "a scale other than 0", bytesOf(setting(KeyScale, "0"))},
		{"scale that is none", "want finite numbers", bytesOf(setting(KeyScale, "NaN"))},
		{"offset as text", `found "", want a number`, bytesOf(setting(KeyOffset, ""))},
		{"no seq", "found no column seq", func(x *table) { x.remove("seq") }},
		{"no voxels", "found no column voxels", func(x *table) { x.remove("voxels") }},
		{"signed seq", "column seq: found int64, want uint64", column("seq", arrow.PrimitiveTypes.Int64, `[1,2]`)},
		{
			"null seq", "column seq: node 2: found 2 values, 1 of them null",
			column("seq", arrow.PrimitiveTypes.Uint64, `[1,null]`),
		},
		{"null voxels", "column voxels: node 0", func(x *table) {
			x.set("voxels", listsOf(arrow.PrimitiveTypes.Float32, 4, `[[1,2,3,4],null]`))
		}},
		{"null voxel", "column voxels: values of the lists: node 1", func(x *table) {
			x.set("voxels", listsOf(arrow.PrimitiveTypes.Float32, 4, `[[1,2,3,4],[1,2,null,4]]`))
		}},
		{"double voxels", "found fixed_size_list<float64>[4], want fixed_size_list<uint8>[4]", func(x *table) {
			x.set("voxels", listsOf(arrow.PrimitiveTypes.Float64, 4, `[[1,2,3,4],[1,2,3,4]]`))
		}},
		{"voxels of no list", "column voxels: found float32", column("voxels", arrow.PrimitiveTypes.Float32, `[1,2]`)},
		{
			"local time", "found timestamp[ns, ], want timestamp[ns, UTC]",
			column("time", &arrow.TimestampType{Unit: arrow.Nanosecond}, `[null,null]`),
		},
		{
			"milliseconds", "found timestamp[ms, UTC]",
			column("time", &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "UTC"}, `[null,null]`),
		},
		{
			"short box", "column box: found fixed_size_list<float64>[6]",
			func(x *table) { x.set("box", listsOf(arrow.PrimitiveTypes.Float64, 6, `[null,null]`)) },
		},
		{
			"half a box", "found fixed_size_list<float16>",
			func(x *table) { x.set("box", listsOf(arrow.FixedWidthTypes.Float16, 7, `[null,null]`)) },
		},
		{
			"text label", "column label: found utf8, want int32",
			column("label", arrow.BinaryTypes.String, `["a","b"]`),
		},
		{"infinite distance", "row 0: distance", func(x *table) {
			x.set("distance", listsOf(arrow.PrimitiveTypes.Float64, 5, `[[1,2,3,"Inf",1],null]`))
		}},
		{"infinite velocity", "row 1: velocity", func(x *table) {
			x.set("velocity", listsOf(arrow.PrimitiveTypes.Float64, 3, `[null,[1,2,1e300]]`))
		}},
		{"negative cell", "row 1: cell: found [1 -2 3]", func(x *table) {
			x.set("cell", listsOf(arrow.PrimitiveTypes.Float64, 3, `[null,[1,-2,3]]`))
		}},
		{"infinite cell", "row 0: cell: found [1 +Inf 3]", func(x *table) {
			x.set("cell", listsOf(arrow.PrimitiveTypes.Float64, 3, `[[1,"Inf",3],null]`))
		}},
		{"cell that is none", "row 0: cell: found [NaN 0 0]", func(x *table) {
			x.set("cell", listsOf(arrow.PrimitiveTypes.Float64, 3, `[["NaN",0,0],null]`))
		}},
		{"short distance", "column distance: found fixed_size_list<float64>[4]", func(x *table) {
			x.set("distance", listsOf(arrow.PrimitiveTypes.Float64, 4, `[null,null]`))
		}},
		{"infinite box", "row 1: box", func(x *table) {
			x.set("box", listsOf(arrow.PrimitiveTypes.Float64, 7, `[null,[1,2,3,1e300,1,1,1]]`))
		}},
		{"shape", "found a tensor of shape [4 1 1], want [2 1 2 1]", tensor(`{"shape":[4,1,1]}`)},
		{"permutation", "with permuted axes [2 1 0]", tensor(`{"shape":[2,1,2],"permutation":[2,1,0]}`)},
		{"tensor of text", "tensor metadata", tensor(`{`)},
		{"long tensor", "of 5000 bytes", tensor(strings.Repeat(" ", 5000))},
		{"dictionary", `"city": found dictionary encoding`, func(x *table) {
			x.set("city", arrayOf(&arrow.DictionaryType{
				IndexType: arrow.PrimitiveTypes.Int8,
				ValueType: arrow.BinaryTypes.String,
			}, `["a","b"]`))
		}},
		{"deep", "at most 8 levels", column("deep", deep, "["+deepJSON+","+deepJSON+"]")},
		{"many columns", "at most 256", func(x *table) {
			for i := range 300 {
				x.set(fmt.Sprint(i), arrayOf(arrow.PrimitiveTypes.Int8, `[1,2]`))
			}
		}},
		{"a column twice", "found column seq twice", func(x *table) {
			x.names, x.arrays = append(x.names, "seq"), append(x.arrays, arrayOf(arrow.PrimitiveTypes.Uint64, `[3,4]`))
		}},
		{"no rows", "found 0 rows", func(x *table) {
			x.set("voxels", listsOf(arrow.PrimitiveTypes.Float32, 4, `[]`))
			x.set("seq", arrayOf(arrow.PrimitiveTypes.Uint64, `[]`))
		}},
		{"too many rows", "want 1 to 65536 rows", func(x *table) {
			n := MaxRows + 1
			x.metadata[KeyDims] = "1,1,1"
			x.set("voxels", listsOf(arrow.PrimitiveTypes.Uint8, 1, "["+strings.Repeat("[1],", n-1)+"[1]]"))
			x.set("seq", arrayOf(arrow.PrimitiveTypes.Uint64, "["+strings.Repeat("1,", n-1)+"1]"))
		}},
	} {
		x := newTable()
		tt.change(x)
		_, err := Decode(x.message(t, 1), "scan")
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: found error %v, want it to contain %q", tt.name, err, tt.want)
		}
	}
	for _, records := range []int{0, 2} {
		if _, err := Decode(newTable().message(t, records), "scan"); err == nil {
			t.Errorf("message of %d record batches: want an error", records)
		}
	}
	many := make([]voxelize.Volume, MaxRows+1)
	for i := range many {
		many[i] = voxelize.Volume{Dims: [3]int{1, 1, 1}, Content: voxelize.ByteContent(1, 1, 0), Index: []uint8{1}}
	}
	if _, err := Encode(nil, many); err == nil || !strings.Contains(err.Error(), "65537 volumes") {
		t.Errorf("%d volumes: found error %v, want one about their number", len(many), err)
	}
	for _, v := range []voxelize.Volume{
		{
			Dims: [3]int{1, 1, 1}, Index: []uint8{1}, Content: voxelize.PaletteContent("gray"),
			Box: &record.Box{Yaw: float32(math.NaN())},
		},
		{
			Dims: [3]int{1, 1, 1}, Index: []uint8{1}, Content: voxelize.PaletteContent("gray"),
			Pose: &ingest.Pose{T: [3]float64{0, math.Inf(1), 0}},
		},
		{
			Dims: [3]int{1, 1, 1}, Index: []uint8{1}, Content: voxelize.PaletteContent("gray"),
			Cell: [3]float64{1, -1, 1},
		},
		{Dims: [3]int{1, 1, 1}, Index: []uint8{1}, Content: voxelize.FloatContent(1)},
		{Dims: [3]int{1, 1, 1}, Values: []float32{1}, Content: voxelize.ByteContent(1, 1, 0)},
		{
			Dims: [3]int{1, 1, 1}, Values: []float32{1},
			Content: voxelize.Content{Palette: "gray", Channels: 1, Float: true},
		},
	} {
		if _, err := Encode(nil, []voxelize.Volume{v}); err == nil {
			t.Errorf("%+v: want an error", v)
		}
	}
}

// TestNullsAreDefaults checks that a null in an optional column, or in a list of one, equals a missing column.
func TestNullsAreDefaults(t *testing.T) {
	x := newTable()
	want, err := Decode(x.message(t, 1), "scan")
	if err != nil {
		t.Fatal(err)
	}
	layout := &layout{kind: kind{dims: want.Dims, content: want.Content}}
	for c := colTime; c < numColumns; c++ {
		x.set(spec[c].name, arrayOf(layout.field(c).Type, `[null,null]`))
	}
	x.set("origin", listsOf(arrow.PrimitiveTypes.Float64, 3, `[[1,null,3],null]`))
	x.set("box", listsOf(arrow.PrimitiveTypes.Float64, 7, `[[1,2,3,4,5,6,null],[null,2,3,4,5,6,7]]`))
	if got, err := Decode(x.message(t, 1), "scan"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("found %+v, %v, want %+v", got, err, want)
	}
}

// messages2 returns valid messages of version 2.
func messages2(t testing.TB) [][]byte {
	t.Helper()
	var out [][]byte
	for _, c := range contents {
		out = append(out, mustEncode(t, raw(4, [3]int{2, 3, 4}, c, true)))
	}
	out = append(out, mustEncode(t, raw(4, [3]int{2, 3, 4}, contents[0], false)))
	for _, name := range []string{"version2-float.arrow", "version2-bytes.arrow", "version2-objects.arrow"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

func TestVersion2Truncated(t *testing.T) {
	for k, b := range messages2(t) {
		if _, err := Decode(b, "scan"); err != nil {
			t.Fatalf("message %d: %v", k, err)
		}
		for n := range len(b) {
			if _, err := Decode(b[:n:n], "scan"); err == nil {
				t.Fatalf("message %d: the first %d of %d bytes: want an error", k, n, len(b))
			}
		}
		if _, err := Decode(append(bytes.Clone(b), 0), "scan"); err == nil {
			t.Errorf("message %d with a trailing byte: want an error", k)
		}
	}
}

func TestVersion2Mutants(t *testing.T) {
	decodeMutants(t, 16, 3, messages2(t)...)
}

// FuzzSchema fuzzes the schema of version 2, followed by a valid record.
func FuzzSchema(f *testing.F) {
	var records [][]byte
	for i, b := range messages2(f) {
		frame := 8 + binary.LittleEndian.Uint32(b[4:])
		records = append(records, b[frame:])
		f.Add(uint8(i), b[:frame])
	}
	f.Fuzz(func(t *testing.T, i uint8, b []byte) {
		check(t, append(bytes.Clone(b), records[int(i)%len(records)]...))
	})
}

// FuzzRecord2 fuzzes the record after a valid schema of version 2.
func FuzzRecord2(f *testing.F) {
	var frames [][]byte
	for i, b := range messages2(f) {
		frame := 8 + binary.LittleEndian.Uint32(b[4:])
		frames = append(frames, b[:frame])
		f.Add(uint8(i), b[frame:])
	}
	f.Fuzz(func(t *testing.T, i uint8, b []byte) { check(t, append(bytes.Clone(frames[int(i)%len(frames)]), b...)) })
}

func BenchmarkDecode2(b *testing.B) {
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			msg := mustEncode(b, raw(n, [3]int{16, 16, 16}, voxelize.FloatContent(1), true))
			b.ReportAllocs()
			b.SetBytes(int64(n * 4 * 4096))
			for b.Loop() {
				if _, err := Decode(msg, "scan"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
