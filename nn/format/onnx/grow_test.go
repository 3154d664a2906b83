package onnx_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/voxelstream/voxelstream/nn/format/onnx"
	"github.com/voxelstream/voxelstream/nn/format/onnx/internal/onnxpb"
)

// chain is a graph of n nodes in a row.
func chain(n int, op string, named func(i int) string) *onnxpb.Model {
	m := small(op)
	g := m.Graph
	g.Node, g.Initializer = nil, nil
	from := "x"
	for i := range n {
		to := fmt.Sprint("v", i)
		if i == n-1 {
			to = "y"
		}
		node := &onnxpb.Node{OpType: new(op), Input: []string{from}, Output: []string{to}}
		if named != nil {
			node.Name = new(named(i))
		}
		g.Node = append(g.Node, node)
		from = to
	}
	return m
}

// TestChains loads long graphs, which takes time in proportion to their length: the square of it would be minutes.
func TestChains(t *testing.T) {
	for name, c := range map[string]struct {
		model *onnxpb.Model
		want  string
	}{
		"unnamed":     {chain(20_000, "Relu", nil), ""},
		"named alike": {chain(20_000, "Relu", func(int) string { return "same" }), ""},
		"identity":    {chain(20_000, "Identity", nil), ""},
		"sigmoid":     {chain(20_000, "Sigmoid", nil), ""},
		"neg":         {chain(20_000, "Neg", nil), ""},
		"transposed":  {chain(2_000, "Transpose", nil), ""},
		"too long":    {chain(50_001, "Relu", nil), "the graph has 50001 nodes, limit 50000"},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := proto.Marshal(c.model)
			if err != nil {
				t.Fatal(err)
			}
			m, err := onnx.Decode(data)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("found error %v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Log(err) // what is refused is refused soon
				return
			}
			if err := onnx.Encode(&bytes.Buffer{}, m); err != nil {
				t.Log(err)
			}
		})
	}
}
