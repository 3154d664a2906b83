// Package inference holds the messages and the service of the Open Inference Protocol over gRPC, generated from
// inference.proto.
package inference

//go:generate go run github.com/voxelstream/voxelstream/internal/protogen -grpc inference.proto
