package record

import (
	"encoding/json"
	"math"
	"strconv"
)

// AppendJSON appends the same bytes as json.Marshal returns for the classification, and fails in the same cases. It
// is several times as fast.
func (c *Classification) AppendJSON(dst []byte) ([]byte, error) {
	j := encoder{b: dst}
	j.classification(c)
	if !j.unusual {
		return j.b, nil
	}
	text, err := json.Marshal(c)
	if err != nil {
		return dst, err
	}
	return append(dst, text...), nil
}

// encoder appends values as JSON. unusual is set for texts that need an escape and numbers without JSON: those are left to
// encoding/json.
type encoder struct {
	b       []byte
	unusual bool
}

func (j *encoder) classification(c *Classification) {
	j.text(`{"event_id":`, c.EventID)
	j.text(`,"stream":`, c.Stream)
	j.uint(`,"seq":`, c.Seq)
	if c.Object != 0 {
		j.uint(`,"object":`, uint64(c.Object))
	}
	if c.View != 0 {
		j.uint(`,"view":`, uint64(c.View))
	}
	if !c.Time.IsZero() {
		j.raw(`,"time":"`)
		b, err := c.Time.AppendText(j.b)
		j.b, j.unusual = b, j.unusual || err != nil
		j.raw(`"`)
	}
	j.text(`,"model":{"name":`, c.Model.Name)
	j.text(`,"version":`, c.Model.Version)
	j.text(`,"digest":`, c.Model.Digest)
	j.int(`},"class":`, int64(c.Class))
	if c.Name != "" {
		j.text(`,"name":`, c.Name)
	}
	j.float(`,"score":`, float64(c.Score), 32)
	j.topK(c.TopK)
	if c.Label != nil {
		j.int(`,"label":`, int64(*c.Label))
	}
	j.float(`,"latency_ms":`, c.LatencyMS, 64)
	j.location(c)
	if c.Energy != nil {
		j.float(`,"energy":`, float64(*c.Energy), 32)
	}
	if c.Unfamiliar {
		j.raw(`,"unfamiliar":true`)
	}
	j.raw(`}`)
}

func (j *encoder) topK(scores []Score) {
	if scores == nil {
		j.raw(`,"top_k":null`)
		return
	}
	before := `,"top_k":[{"class":`
	for _, s := range scores {
		j.int(before, int64(s.Class))
		j.float(`,"score":`, float64(s.Score), 32)
		before = `},{"class":`
	}
	if len(scores) == 0 {
		j.raw(`,"top_k":[]`)
	} else {
		j.raw(`}]`)
	}
}

// location appends the members that say where an object is.
func (j *encoder) location(c *Classification) {
	if b := c.Box; b != nil {
		j.list(`,"box":{"center":`, 64, b.Center[0], b.Center[1], b.Center[2])
		j.list(`,"size":`, 32, float64(b.Size[0]), float64(b.Size[1]), float64(b.Size[2]))
		j.float(`,"yaw":`, float64(b.Yaw), 32)
		j.raw(`}`)
	}
	if c.Track != 0 {
		j.uint(`,"track":`, c.Track)
	}
	if d := c.Distance; d != nil {
		j.float(`,"distance":{"nearest_m":`, d.Nearest, 64)
		j.float(`,"median_m":`, d.Median, 64)
		for _, m := range []struct {
			name  string
			value float64
		}{{`,"center_m":`, d.Center}, {`,"deviation_m":`, d.Deviation}, {`,"valid":`, d.Valid}} {
			if m.value != 0 {
				j.float(m.name, m.value, 64)
			}
		}
		j.raw(`}`)
	}
	if v := c.Velocity; v != nil {
		j.list(`,"velocity":`, 32, float64(v[0]), float64(v[1]), float64(v[2]))
	}
}

func (j *encoder) raw(text string) { j.b = append(j.b, text...) }

func (j *encoder) text(before, s string) {
	j.raw(before)
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			j.unusual = true
		}
	}
	j.b = append(append(append(j.b, '"'), s...), '"')
}

func (j *encoder) int(before string, n int64) {
	j.raw(before)
	j.b = strconv.AppendInt(j.b, n, 10)
}

func (j *encoder) uint(before string, n uint64) {
	j.raw(before)
	j.b = strconv.AppendUint(j.b, n, 10)
}

func (j *encoder) list(before string, bits int, xs ...float64) {
	for i, x := range xs {
		if i > 0 {
			before = ","
		} else {
			before += "["
		}
		j.float(before, x, bits)
	}
	j.raw("]")
}

// float appends a number as encoding/json does: the shortest form that gives the same number, with an exponent for very
// small and very large ones.
func (j *encoder) float(before string, x float64, bits int) {
	j.raw(before)
	if math.IsNaN(x) || math.IsInf(x, 0) {
		j.unusual = true
		return
	}
	format, abs := byte('f'), math.Abs(x)
	if abs != 0 && (bits == 64 && (abs < 1e-6 || abs >= 1e21) ||
		bits == 32 && (float32(abs) < 1e-6 || float32(abs) >= 1e21)) {
		format = 'e'
	}
	j.b = strconv.AppendFloat(j.b, x, format, -1, bits)
	if n := len(j.b); format == 'e' && j.b[n-4] == 'e' && j.b[n-3] == '-' && j.b[n-2] == '0' {
		j.b[n-2] = j.b[n-1]
		j.b = j.b[:n-1]
	}
}
