// Package volarrow is the wire form of volumes: one message is one Arrow IPC stream with one record batch of one or more volumes of one
// stream. It is the only package between the sensors and the network that knows Arrow.
//
// The columns are
//
//	voxels   arrow.fixed_shape_tensor<uint8>[D, H, W]  palette index, W fastest
//	seq      uint64                                    position in the stream
//	time     timestamp[ns, UTC], nullable              null: unknown
//	label    int32                                     class, -1: unknown
//	origin   fixed_size_list<float64>[3]               minimum corner x, y, z in metres
//	edge     float32                                   side of a cell in metres, 0: no metric frame
//	points   uint32                                    finite points inside the grid
//	outside  uint32                                    finite points outside it
//
// and the schema's metadata names its version, the palette and the dims. Buffers are not compressed, so that reading needs no copy; the
// transport may compress whole messages. No column holds strings: damaged string offsets crash readers, and the stream's name is the message's
// key anyway.
package volarrow
