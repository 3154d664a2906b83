package record_test

import (
	"encoding/json"
	"fmt"

	"github.com/voxelstream/voxelstream/record"
)

// Read a line of a JSON Lines file, or a message of the topic "classifications".
func ExampleClassification() {
	line := `{"event_id":"lidar/12#3","stream":"lidar","seq":12,"object":3,"class":1,"name":"cyclist","score":0.75,"top_k":[]}`
	var c record.Classification
	if err := json.Unmarshal([]byte(line), &c); err != nil {
		panic(err)
	}
	fmt.Printf("object %d of scan %d: %s (%.0f %%)\n", c.Object, c.Seq, c.Name, 100*c.Score)
	// Output:
	// object 3 of scan 12: cyclist (75 %)
}

func ExampleParseID() {
	id, err := record.ParseID("lidar/12#3")
	if err != nil {
		panic(err)
	}
	fmt.Println(id.Stream, id.Seq, id.Object)
	// Output:
	// lidar 12 3
}
