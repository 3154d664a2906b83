package sinks_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/all"
)

// Open the sink of a path or URL, as --out does. The sink drops what the file holds already.
func ExampleParse() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "results.jsonl")

	out, problems := sinks.Parse(all.Kinds, path, sinks.Defaults{})
	if len(problems) > 0 {
		panic(problems)
	}
	ctx := context.Background()
	sink, err := out.Open(ctx, sinks.Services{})
	if err != nil {
		panic(err)
	}
	c := record.Classification{EventID: "lidar/0", Stream: "lidar", Class: 2, Score: 0.75}
	if err := sink.Sink.Write(ctx, []record.Classification{c, c}); err != nil {
		panic(err)
	}
	if f, ok := sink.Sink.(pipeline.Flusher); ok {
		if err := f.Flush(ctx); err != nil {
			panic(err)
		}
	}
	if err := sink.Sink.Close(ctx); err != nil {
		panic(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	fmt.Println(bytes.Count(text, []byte("\n")), "line,", out.Kind.Guarantee)
	// Output:
	// 1 line, exactly once
}
