package input

import (
	"testing"

	"github.com/voxelstream/voxelstream/ingest/live"
	"github.com/voxelstream/voxelstream/pipeline"
)

// TestEventsAgree: what live sources report has the names that the pipeline's observers know.
func TestEventsAgree(t *testing.T) {
	for e, want := range map[live.Event]pipeline.Event{
		live.Packet: pipeline.EventPacket, live.Repeated: pipeline.EventRepeated, live.Damaged: pipeline.EventDamaged,
		live.Lost: pipeline.EventLost, live.Dropped: pipeline.EventDropped, live.Missed: pipeline.EventMissed,
		live.File: pipeline.EventFile, live.Request: pipeline.EventRequest, live.Refused: pipeline.EventRefused,
	} {
		if pipeline.Event(e) != want {
			t.Errorf("found %q, want %q", e, want)
		}
	}
}
