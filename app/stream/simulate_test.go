package stream

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

func TestSimulate(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // UDP
	to := "udp://" + conn.LocalAddr().String()
	recording := testenv.Sample(t, "lidar/velodyne/mrpt_sample_velodyne_vlp16_gps.pcap")
	metadata := filepath.Join(t.TempDir(), "os.json")
	a := apptest.New(t)
	for _, c := range []struct {
		o             SimulateOptions
		packets, size int
		usage         string
	}{
		{o: SimulateOptions{Recording: recording, To: to, Rate: 20}, packets: 293, size: 1206},
		{
			o: SimulateOptions{Recording: recording, To: to, Rate: 100, Loop: true, Length: time.Second}, packets: 760,
			size: 1206,
		},
		{
			o: SimulateOptions{Scene: "room", To: to + "?sensor=vlp16", Rate: 10, Length: 100 * time.Millisecond}, packets: 76,
			size: 1206,
		},
		{o: SimulateOptions{
			Scene: "sphere", To: to + "?sensor=ouster", Rate: 10, Length: 100 * time.Millisecond,
			Metadata: metadata,
		}, packets: 64, size: 12544},
		{
			o: SimulateOptions{
				Scene: "sphere", To: to + "?sensor=ouster", Rate: 10, Length: 100 * time.Millisecond,
				Metadata: metadata, Legacy: true,
			},
			packets: 64, size: 12608,
		},
		{o: SimulateOptions{To: to}, usage: "either a RECORDING or --scene"},
		{o: SimulateOptions{Recording: recording, To: "there"}, usage: "--to"},
		{o: SimulateOptions{Scene: "moon", To: to + "?sensor=vlp16"}, usage: "room, sphere, street"},
		{o: SimulateOptions{Scene: "room", To: to + "?sensor=helios"}, usage: `"helios", want velodyne, vlp16`},
		{o: SimulateOptions{Scene: "room", To: to + "?sensor=hdl64e"}, usage: `"hdl64e", want velodyne, vlp16`},
		{o: SimulateOptions{Scene: "room", To: to + "?sensor=os0"}, usage: `"os0", want velodyne, vlp16`},
	} {
		s, err := Simulate(t.Context(), a, c.o)
		if c.usage != "" {
			if err == nil || !app.IsUsage(err) || !strings.Contains(err.Error(), c.usage) {
				t.Errorf("%+v: found error %v, want one of usage: %q", c.o, err, c.usage)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%+v: %v", c.o, err)
		}
		// A recording that is played again has no exact length.
		if off := s.Packets - c.packets; off < -20 || off > 20 || !c.o.Loop && off != 0 ||
			s.Bytes != int64(s.Packets*c.size) {
			t.Errorf("%+v: found %+v, want %d packets of %d bytes", c.o, s, c.packets, c.size)
		}
	}
	// What nobody hears is sent all the same.
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Simulate(t.Context(), a, SimulateOptions{
		Scene: "sphere", To: to + "?sensor=vlp16", Rate: 10,
		Length: 100 * time.Millisecond,
	}); err != nil {
		t.Error(err)
	}
}
