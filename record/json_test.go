package record

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// same checks that AppendJSON gives what json.Marshal does.
func same(t *testing.T, c *Classification) {
	t.Helper()
	want, wantErr := json.Marshal(c)
	got, err := c.AppendJSON([]byte("before"))
	if wantErr != nil {
		if err == nil || err.Error() != wantErr.Error() || string(got) != "before" {
			t.Fatalf("%+v: found %s (%v), want %v", c, got, err, wantErr)
		}
		return
	}
	if err != nil || string(got) != "before"+string(want) {
		t.Fatalf("%+v:\nfound %s (%v)\nwant  %s", c, got, err, want)
	}
}

// numbers are those whose forms differ.
var numbers = []float64{
	0, math.Copysign(0, -1), 1, -1, .1, 1e-6, 9.999e-7, 1e-7, -1e-9, 1e20, 1e21, -1e21, 1e22, 123456.789, 5e-324,
	math.MaxFloat64, math.MaxFloat32, math.SmallestNonzeroFloat32, 1e-10, 1e-100, 1e100,
}

// fill sets the fields of a value at random. Each pointer is nil at times.
func fill(v reflect.Value, rng *rand.Rand, odd bool) {
	number := func() float64 {
		switch n := rng.IntN(4); {
		case odd && rng.IntN(30) == 0:
			return []float64{math.NaN(), math.Inf(1), math.Inf(-1)}[rng.IntN(3)]
		case n == 0:
			return numbers[rng.IntN(len(numbers))]
		case n == 1:
			return rng.Float64()
		case n == 2:
			return math.Float64frombits(rng.Uint64() &^ (1 << 62)) // finite
		}
		return rng.NormFloat64() * 1e3
	}
	switch v.Kind() {
	case reflect.String:
		text := []string{"", "drive-1a2b/17", "a b", "0123456789abcdef"}
		if odd {
			text = append(text, "a\"b", `\`, "<&>", "Ä", "\xff", "\u2028", "\n\x01\x7f", "'")
		}
		v.SetString(text[rng.IntN(len(text))])
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(int32(rng.Uint64() >> rng.IntN(64))))
	case reflect.Uint32:
		v.SetUint(uint64(uint32(rng.Uint64()>>32) >> rng.IntN(33)))
	case reflect.Uint64:
		v.SetUint(rng.Uint64() >> rng.IntN(65))
	case reflect.Float64:
		v.SetFloat(number())
	case reflect.Float32:
		x := number()
		if float32(x) != float32(x) || math.IsInf(float64(float32(x)), 0) && !odd {
			x = 1
		}
		v.SetFloat(float64(float32(x)))
	case reflect.Bool:
		v.SetBool(rng.IntN(2) == 0)
	case reflect.Pointer:
		v.SetZero()
		if rng.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), rng, odd)
		}
	case reflect.Slice:
		v.SetZero()
		if n := rng.IntN(5) - 1; n >= 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
		}
		for i := range v.Len() {
			fill(v.Index(i), rng, odd)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), rng, odd)
		}
	case reflect.Struct:
		if _, ok := reflect.TypeAssert[time.Time](v); ok {
			at := time.Unix(rng.Int64N(4e9), rng.Int64N(1e9)).UTC()
			switch n := rng.IntN(6); {
			case n == 0:
				at = time.Time{}
			case n == 1:
				at = at.Truncate(time.Second)
			case n == 2:
				at = at.In(time.FixedZone("", 3600*rng.IntN(20)))
			case n == 3 && odd:
				at = at.AddDate(9000, 0, 0)
			}
			v.Set(reflect.ValueOf(at))
			return
		}
		for _, field := range v.Fields() {
			fill(field, rng, odd)
		}
	}
}

// TestAppendJSON compares AppendJSON with encoding/json for random classifications. Every field of the type is set, so a
// new field that AppendJSON does not know fails it.
func TestAppendJSON(t *testing.T) {
	for seed := range uint64(20_000) {
		c, rng := &Classification{}, rand.New(rand.NewPCG(seed, 1))
		fill(reflect.ValueOf(c).Elem(), rng, seed%4 == 0)
		same(t, c)
	}
	same(t, &Classification{})
}

func FuzzAppendJSON(f *testing.F) {
	f.Add("s/1", "s", "model", .5, float32(1e-7), int64(0))
	f.Fuzz(func(t *testing.T, event, stream, name string, x float64, y float32, unix int64) {
		same(t, &Classification{
			EventID: event, Stream: stream, Name: name, Model: Model{Name: name}, Score: y, LatencyMS: x,
			Energy: &y, Distance: &Distance{Nearest: x, Center: x}, Time: time.Unix(unix, unix),
			TopK: []Score{{1, y}, {2, -y}},
		})
	})
}

// TestAppendJSONOnce checks that an encoded classification takes no memory beyond the slice that it is appended to.
func TestAppendJSONOnce(t *testing.T) {
	label := int32(3)
	c := &Classification{EventID: "s/1", Stream: "s", Seq: 1, TopK: []Score{{1, .5}}, Label: &label, LatencyMS: 1.25}
	b := bytes.Repeat([]byte{0}, 1024)
	if n := testing.AllocsPerRun(10, func() { _, _ = c.AppendJSON(b[:0]) }); n != 0 {
		t.Errorf("found %g allocations, want none", n)
	}
}

func BenchmarkJSON(b *testing.B) {
	label, energy := int32(3), float32(-11.25)
	c := &Classification{
		EventID: "digits-0123abcd/123456", Stream: "digits-0123abcd", Seq: 123456,
		Model: Model{Name: "digits", Version: "e272c1fb", Digest: "e272c1fbc813f52938124d817a3f903ed1a147439f6ad92e78830d46"},
		Class: 3, Score: .87654321, TopK: []Score{{3, .87654321}, {5, .07654321}, {8, .01654321}}, Label: &label,
		LatencyMS: 37.534019, Energy: &energy,
	}
	b.Run("append", func(b *testing.B) {
		var buf []byte
		for b.Loop() {
			buf, _ = c.AppendJSON(buf[:0])
		}
	})
	b.Run("marshal", func(b *testing.B) {
		for b.Loop() {
			_, _ = json.Marshal(c)
		}
	})
}
