// Package onnxpb holds the messages of ONNX files, generated from onnx.proto.
package onnxpb

//go:generate go run github.com/voxelstream/voxelstream/internal/protogen onnx.proto
