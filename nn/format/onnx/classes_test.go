package onnx_test

import (
	"bytes"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format/onnx"
	"github.com/voxelstream/voxelstream/nn/format/onnx/internal/onnxpb"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// TestForeignClasses reads the names of classes that other programs write. Our own come first, and names that do not fit
// the outputs are ignored.
func TestForeignClasses(t *testing.T) {
	m, err := nn.Sequential("three", nn.Shape{4}, layers.NewDense(3, "softmax"))
	if err != nil {
		t.Fatal(err)
	}
	m.Init(1)
	var plain bytes.Buffer
	if err := onnx.Encode(&plain, m); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key, value string
		want       []string
	}{
		{"names", "{0: 'a', 1: 'b', 2: 'c'}", []string{"a", "b", "c"}},
		{"class_names", `["a", "b", "c"]`, []string{"a", "b", "c"}},
		{"names", "{0: 'a', 1: 'b'}", nil},
		{"names", "{0: 'a', 1: 'b', 2: 'a'}", nil},
		{"authors", "x,y,z", nil},
	} {
		file := &onnxpb.Model{}
		if err := proto.Unmarshal(plain.Bytes(), file); err != nil {
			t.Fatal(err)
		}
		file.MetadataProps = append(file.MetadataProps, &onnxpb.Entry{Key: &c.key, Value: &c.value})
		data, err := proto.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := onnx.Decode(data)
		if err != nil || !slices.Equal(got.Classes, c.want) {
			t.Errorf("%s %s: found %q, %v, want %q", c.key, c.value, got.Classes, err, c.want)
			continue
		}
		got.Classes = []string{"ours", "comes", "first"}
		var named bytes.Buffer
		if err := onnx.Rewrite(&named, data, got); err != nil {
			t.Fatal(err)
		}
		if again, err := onnx.Decode(named.Bytes()); err != nil || !slices.Equal(again.Classes, got.Classes) {
			t.Errorf("%s: found %v, want our own names", c.key, err)
		}
	}
}
