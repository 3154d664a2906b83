package ingest

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestDistance(t *testing.T) {
	f := &Frame{Width: 4, Height: 3, Depth: []Metres{
		1, 2, 3, 0, // regions are columns 0, 1, and 2 to 3
		0, 0, 5, 6,
		4, 0, 0.5, 7,
	}}
	d := f.Distance()
	got, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	// The eight depths are 0.5 1 2 3 4 5 6 7.
	const want = `{"nearest_m":0.5,"median_m":3,"deviation_m":0.0004,"valid":0.666667,"regions":[` +
		`[{"nearest_m":1,"median_m":1,"deviation_m":0.0016,"valid":1},` +
		`{"nearest_m":2,"median_m":2,"deviation_m":0.0064,"valid":1},` +
		`{"nearest_m":3,"median_m":3,"deviation_m":0.0144,"valid":0.5}],` +
		`[null,null,{"nearest_m":5,"median_m":5,"deviation_m":0.04,"valid":1}],` +
		`[{"nearest_m":4,"median_m":4,"deviation_m":0.0256,"valid":1},null,` +
		`{"nearest_m":0.5,"median_m":0.5,"deviation_m":0.0004,"valid":1}]],"noise":"structured-light"}`
	if string(got) != want {
		t.Errorf("found %s, want %s", got, want)
	}
	text := d.Text()
	const summary = "nearest 0.500 m ± 0.4 mm (structured-light), median 3.000 m, 66.7% of pixels valid"
	if !strings.Contains(text, summary) || !strings.Contains(text, "        -        -    5.000") {
		t.Errorf("found %s", text)
	}
	if none := (&Frame{Width: 2, Height: 1, Depth: []Metres{0, 0}}).Distance(); none != nil {
		t.Errorf("nothing seen: found %+v", none)
	}
}

// TestNearestSurface: single wrong pixels, and the noise of many, do not make the nearest distance smaller.
func TestNearestSurface(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	f := &Frame{Width: 100, Height: 80, Depth: make([]Metres, 8000), Noise: TimeOfFlight}
	deviation := TimeOfFlight.Deviation(2)
	for i := range f.Depth {
		f.Depth[i] = Metres(2 + deviation*r.NormFloat64())
	}
	for range 20 {
		f.Depth[r.IntN(len(f.Depth))] = 0.7
	}
	d := f.Distance()
	if math.Abs(d.Nearest-2) > 2*d.Deviation || math.Abs(d.Deviation-deviation) > 1e-4 || d.Noise != TimeOfFlight {
		t.Errorf("found %v m with a deviation of %v m (%s), want 2 m and %v m", d.Nearest, d.Deviation, d.Noise, deviation)
	}
	for y := 30; y < 33; y++ { // a small thing is a surface
		for x := 40; x < 43; x++ {
			f.Depth[y*f.Width+x] = 1.5
		}
	}
	if d := f.Distance(); d.Nearest != 1.5 || d.Regions[1][1].Nearest != 1.5 || d.Regions[0][0].Nearest < 1.9 {
		t.Errorf("found %v m, %v m in the middle and %v m at the top left, want 1.5, 1.5 and 2", d.Nearest,
			d.Regions[1][1].Nearest, d.Regions[0][0].Nearest)
	}
}
