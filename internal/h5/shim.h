// The part of libhdf5 that gonum.org/v1/hdf5 does not bind, or does not bind safely. Every function is called from one OS thread.
#ifndef VOXELSTREAM_H5_SHIM_H
#define VOXELSTREAM_H5_SHIM_H

// Newer libraries keep the functions of 1.10 under this switch.
#ifndef H5_USE_110_API
#define H5_USE_110_API
#endif
#include "hdf5.h"
#include <stdint.h>

enum { VS_MAX_RANK = 8, VS_MAX_FILTERS = 8, VS_MAX_VALUES = 16 };

// Memory types: what values are converted to on the way in and from on the way out.
// VS_TEXT is the type of the dataset itself, a text of fixed length.
enum { VS_F32 = 0, VS_F64 = 1, VS_I64 = 2, VS_U64 = 3, VS_U8 = 4, VS_I32 = 5, VS_TEXT = 6 };

// vs_info is everything the policy judges, in plain numbers.
typedef struct {
	int cls;      // H5T_class_t
	int base;     // H5T_class_t of the base type of an enumeration, else cls
	int is_vlen_string;
	int space_padded;
	int sign;     // 1: signed integer
	int exp_bits; // exponent bits of a float
	int native;   // VS_F32, VS_F64 or VS_I64 if the values are of that type, else -1
	uint64_t size;
	int space;    // H5S_class_t
	int rank;
	uint64_t dims[VS_MAX_RANK];
	int layout;   // H5D_layout_t
	int external; // number of external files
	int chunk_rank;
	uint64_t chunk[VS_MAX_RANK];
	int nfilters;
	int filter[VS_MAX_FILTERS];
	int nvalues[VS_MAX_FILTERS];
	unsigned value[VS_MAX_FILTERS][VS_MAX_VALUES];
	int raw_edges;   // 1: chunks that reach over the edge are stored without filters
	uint64_t offset; // of contiguous values in the file, UINT64_MAX if there are none
} vs_info;

// vs_names is a growing list of names, each with the type of the link it belongs to.
typedef struct {
	char **name;
	int *type;
	size_t len, cap, max;
	size_t bytes, max_bytes;
	int overflow;
} vs_names;

void vs_quiet(void);
int vs_harden(void);
// vs_input makes a descriptor the only file that this process can open, whatever its name, and only for reading. A negative one takes that back.
int vs_input(int fd, uint64_t size);
#define VS_MAX_ERROR 16384 // more than twice the longest path
void vs_error(char *buf, size_t size);
void vs_version(unsigned *major, unsigned *minor, unsigned *release);

void vs_names_free(vs_names *l);
int vs_links(hid_t group, vs_names *l);
int vs_attr_names(hid_t object, vs_names *l);
int vs_lenient(void);
// vs_link returns 0 for a hard link, 1 for a soft one, whose target it gives, 2 for another one, -1 if there is none, -2 for an error.
int vs_link(hid_t loc, const char *path, char *target, size_t size);
int vs_claimed(hid_t file, uint64_t *size); // the size of the file according to its header
int vs_fields(hid_t dataset, vs_names *l);
int vs_object(hid_t loc, const char *path, uint64_t *file, uint64_t *address, int *type, uint64_t *attrs);
int vs_describe(hid_t dataset, vs_info *out);
int vs_describe_attr(hid_t attr, vs_info *out);
int vs_chunks_ok(hid_t dataset, const vs_info *in, int axis, uint64_t row0, uint64_t rows, uint64_t limit, uint64_t end);
// vs_read reads rows along an axis; with field, one member of a compound type. vs_convert does the same with n elements in buf as they are in the
// file; buf and background have room for cap bytes.
int vs_read(hid_t dataset, int mem, const char *field, int axis, uint64_t row0, uint64_t rows, uint64_t cap, void *buf);
int vs_convert(hid_t dataset, int mem, const char *field, uint64_t n, uint64_t cap, void *buf, void *background);
// vs_chunk_size gives the stored size of a chunk, 0 if it was never written; vs_chunk reads that many bytes.
int vs_chunk_size(hid_t dataset, const uint64_t *at, int rank, uint64_t *size);
int vs_chunk(hid_t dataset, const uint64_t *at, int rank, void *buf, uint32_t *mask);
int vs_fill(hid_t dataset, void *element); // the value of what was never written, as it is in the file
int vs_read_attr(hid_t attr, int mem, uint64_t cap, void *buf);

// vs_strings reads strings of a dataset (rows of it) or of an attribute. Each string is handed to the caller with vs_string, then
// vs_strings_free gives everything back.
typedef struct {
	hid_t type, space; // as read, to reclaim
	int vlen, pad;
	uint64_t count, size;
	void *buf;
} vs_strings;
int vs_strings_read(hid_t object, int is_attr, const vs_info *in, uint64_t row0, uint64_t rows, uint64_t max_bytes, vs_strings *out);
const char *vs_string(const vs_strings *s, uint64_t i, uint64_t max, uint64_t *len);
void vs_strings_free(vs_strings *s);

// vs_create_dataset creates a dataset; text is the length of its texts in bytes, for VS_TEXT.
hid_t vs_create_dataset(hid_t file, const char *path, int mem, uint64_t text, int rank, const uint64_t *dims, const uint64_t *max,
	const uint64_t *chunk, int gzip, int shuffle);
int vs_write(hid_t dataset, int mem, int rank, const uint64_t *dims, uint64_t row0, uint64_t rows, int extend, const void *buf);
int vs_write_attr(hid_t object, const char *name, int mem, int rank, uint64_t count, const void *buf);
int vs_write_attr_text(hid_t object, const char *name, const char *text, int utf8);
int vs_write_attr_texts(hid_t object, const char *name, uint64_t count, uint64_t size, int utf8, const void *buf);
int vs_make_groups(hid_t file, const char *path);
int64_t vs_open_objects(void);

int vs_narrow(float *to, const double *from, size_t n);
#endif
