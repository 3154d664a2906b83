package main

import (
	"testing"

	"github.com/voxelstream/voxelstream/ingest/simulate"
)

// TestPedestrians: pedestrians are about as reliable as docs/reference/object-classes.md says.
func TestPedestrians(t *testing.T) {
	m := measurement{context: t.Context(), counts: map[group]*counts{}}
	if err := m.measure(nil, []string{"hdl64"}, 1500, 2); err != nil {
		t.Fatal(err)
	}
	var c counts
	for part := range ends {
		c.add(m.of(simulate.Pedestrian.String(), ends[part]-1))
	}
	if c.all < 50 || c.found < c.all*6/10 || c.right < c.named*3/4 || c.proven < c.tracked*3/4 {
		t.Errorf("found %+v, want a recall of 0.6 and a precision of 0.75", c)
	}
}
