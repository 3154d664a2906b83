package packets_test

import (
	"fmt"
	"time"

	"github.com/voxelstream/voxelstream/ingest/packets"
	"github.com/voxelstream/voxelstream/ingest/simulate"
)

// Decode the packets of a lidar as they arrive. Here they come from a simulated VLP-16 in a room.
func ExampleDecoder() {
	sensor, err := packets.FindSensor("vlp16")
	if err != nil {
		panic(err)
	}
	decoder, err := sensor.NewDecoder("") // a VLP-16 needs no calibration file
	if err != nil {
		panic(err)
	}
	room, err := simulate.NamedScene("room", 1)
	if err != nil {
		panic(err)
	}
	start := time.Unix(0, 0).UTC()
	sweeps := 0
	for p, err := range simulate.VLP16(room, start) {
		if err != nil {
			panic(err)
		}
		sweep, err := decoder.Add(start.Add(p.After), p.Data)
		if err != nil {
			panic(err)
		}
		if sweep == nil {
			continue // the sweep goes on
		}
		fmt.Println(sweep.Began.Format("05.000 s"), len(sweep.Cloud.X), "points")
		if sweeps++; sweeps == 2 {
			break
		}
	}
	// Output:
	// 00.000 s 28960 points
	// 00.100 s 28928 points
}
