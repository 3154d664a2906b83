// Package volarrow encodes volumes in their wire format. A message is an Arrow IPC stream with one record batch, which
// holds one or more volumes of one stream, with equal dims and content. No other package between the sensors and the
// network depends on Arrow.
//
// # Columns
//
//	voxels   arrow.fixed_shape_tensor[D, H, W] or [D, H, W, C]   of uint8 or float32, last index fastest; required
//	seq      uint64                      position in the stream; required
//	time     timestamp[ns, UTC]          null: unknown
//	label    int32                       class; -1: unknown
//	origin   fixed_size_list<float64>[3] minimum corner x, y, z in metres
//	edge     float32                     side of a cell in metres; 0: no metric frame
//	points   uint32                      finite points inside the grid
//	outside  uint32                      finite points outside it
//	object   uint32                      number of the object in its scan, from 1; 0: the whole scan
//	view     uint32                      number of the view, from 1; 0: the only one
//	box      fixed_size_list<float64>[7] centre x, y, z, length, width, height in metres, yaw in radians; null: none
//	pose     fixed_size_list<float64>[12] rows of [R | T], of the sensor in the world; null: unknown
//	track    uint64                      the same for one object from scan to scan; 0: none
//	cell     fixed_size_list<float64>[3] edges of a cell along z, y, x in metres; 0: cubes of side edge
//	distance fixed_size_list<float64>[5] nearest, median, centre of the box, standard deviation of the nearest, in
//	                                     metres, and the share of valid pixels; null: unknown
//	velocity fixed_size_list<float64>[3] x, y, z in metres per second; null: unknown
//
// Voxels may also be a plain fixed_size_list of D*H*W*C values.
//
// # Metadata of the schema
//
//	voxelstream.version   1 or 2
//	voxelstream.dims      D,H,W
//	voxelstream.palette   colour map that the bytes of voxels index; absent: voxels hold values
//	voxelstream.channels  C; absent: 1
//	voxelstream.scale     of uint8 values: value = offset + scale*byte; absent: 1
//	voxelstream.offset    absent: 0
//	voxelstream.values    how the values were scaled, or the window of palette indices, as text of voxelize.Encoding;
//	                      absent: values as measured
//
// # Versions
//
// Version 1 has the columns voxels to outside, and voxels hold palette indices. A schema of version 1 must be
// byte-identical to the one that our writer writes.
//
// Version 2 has columns in any order, which are read by name. A reader ignores unknown columns and metadata. A column
// that is missing, or null in a row, has its default: null, -1 for label, else 0. The format therefore grows by adding
// columns. Version 3 is reserved for a change that a reader of version 2 would misunderstand. [Encode] writes version
// 1, which older programs can read, if it can hold the volumes. It writes version 2 for values, channels, objects,
// views, boxes, poses, tracks, distances, velocities and cells that are not cubes.
//
// Buffers are not compressed, so that reading needs no copy; the transport may compress whole messages. No known column
// holds strings: damaged string offsets crash readers, and the stream's name is the message's key anyway. Columns that
// are dictionary-encoded or of a view type are rejected, known or not.
package volarrow
