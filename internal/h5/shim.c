//go:build cgo && !nohdf5

#include "shim.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#if H5_VERSION_GE(1, 13, 0)
#include "H5FDdevelop.h"
#endif

// vs_quiet stops the library from printing its error stack; the switch belongs to the calling thread.
void vs_quiet(void) { H5Eset_auto2(H5E_DEFAULT, NULL, NULL); }

// vs_harden turns off, for the whole process, what would let a file choose other files or code: filter plugins and external links.
int vs_harden(void) {
	if (H5PLset_loading_state(0) < 0) return -1;
	return H5Lunregister(H5L_TYPE_EXTERNAL) < 0 ? -1 : 0;
}

// The driver reads from a descriptor that the parent has opened, so that a worker needs no right to open files, and a file that names another one gets
// itself. Its reads are those of the library's own driver for POSIX: what lies behind the end is zero.
static struct { int fd; haddr_t size; } input = {-1, 0};
typedef struct { H5FD_t base; haddr_t eoa; } vs_file;

static H5FD_t *input_open(const char *name, unsigned flags, hid_t access, haddr_t limit) {
	(void)name, (void)access, (void)limit;
	if (input.fd < 0 || (flags & H5F_ACC_RDWR)) return NULL;
	return calloc(1, sizeof(vs_file));
}

static herr_t input_close(H5FD_t *f) {
	free(f);
	return 0;
}

static int input_compare(const H5FD_t *a, const H5FD_t *b) {
	(void)a, (void)b;
	return 0; // there is only one
}

static herr_t input_query(const H5FD_t *f, unsigned long *flags) {
	(void)f;
	// As the library's own driver. H5Fget_eoa wants the one of SWMR.
	*flags = H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE | H5FD_FEAT_SUPPORTS_SWMR_IO;
	return 0;
}

static haddr_t input_eoa(const H5FD_t *f, H5FD_mem_t type) {
	(void)type;
	return ((const vs_file *)f)->eoa;
}

static herr_t input_set_eoa(H5FD_t *f, H5FD_mem_t type, haddr_t eoa) {
	(void)type;
	((vs_file *)f)->eoa = eoa;
	return 0;
}

static haddr_t input_eof(const H5FD_t *f, H5FD_mem_t type) {
	(void)f, (void)type;
	return input.size;
}

static herr_t input_read(H5FD_t *f, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t size, void *buf) {
	(void)f, (void)type, (void)transfer;
	if (at > INT64_MAX || size > INT64_MAX - at) return -1;
	while (size > 0) {
		ssize_t n = pread(input.fd, buf, size, (off_t)at);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) {
			H5Epush2(H5E_DEFAULT, __FILE__, __func__, __LINE__, H5E_ERR_CLS, H5E_IO, H5E_READERROR, "file read failed, errno = %d, error message = '%s'",
				errno, strerror(errno));
			return -1;
		}
		if (n == 0) {
			memset(buf, 0, size);
			return 0;
		}
		buf = (char *)buf + n, at += (haddr_t)n, size -= (size_t)n;
	}
	return 0;
}

static herr_t input_write(H5FD_t *f, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t size, const void *buf) {
	(void)f, (void)type, (void)transfer, (void)at, (void)size, (void)buf;
	return -1;
}

static herr_t input_lock(H5FD_t *f, hbool_t exclusive) {
	(void)f;
	if (flock(input.fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0 || errno == ENOSYS) return 0;
	H5Epush2(H5E_DEFAULT, __FILE__, __func__, __LINE__, H5E_ERR_CLS, H5E_FILE, H5E_CANTOPENFILE, "unable to lock file, errno = %d, error message = '%s'",
		errno, strerror(errno));
	return -1;
}

static herr_t input_unlock(H5FD_t *f) {
	(void)f;
	return flock(input.fd, LOCK_UN) == 0 || errno == ENOSYS ? 0 : -1;
}

static const H5FD_class_t input_driver = {
#ifdef H5FD_CLASS_VERSION
	.version = H5FD_CLASS_VERSION,
	.value = 513, // of those that are free for programs, from 512
#endif
	.name = "input",
	.maxaddr = INT64_MAX,
	.fc_degree = H5F_CLOSE_WEAK,
	.open = input_open,
	.close = input_close,
	.cmp = input_compare,
	.query = input_query,
	.get_eoa = input_eoa,
	.set_eoa = input_set_eoa,
	.get_eof = input_eof,
	.read = input_read,
	.write = input_write,
	.lock = input_lock,
	.unlock = input_unlock,
	.fl_map = H5FD_FLMAP_DICHOTOMY,
};

int vs_input(int fd, uint64_t size) {
	static hid_t driver = -1;
	if (driver < 0 && ((driver = H5FDregister(&input_driver)) < 0 || H5Pset_driver(H5P_FILE_ACCESS_DEFAULT, driver, NULL) < 0)) return -1;
	input.fd = fd, input.size = size;
	return 0;
}

// vs_lenient makes this process open files that were not closed: marks of a writer are ignored, and a file may be shorter than its header says.
int vs_lenient(void) {
	hbool_t on = 1;
	if (H5Pset(H5P_FILE_ACCESS_DEFAULT, "clear_status_flags", &on) < 0) return -1;
	return H5Pset(H5P_FILE_ACCESS_DEFAULT, "skip_eof_check", &on) < 0 ? -1 : 0;
}

void vs_version(unsigned *major, unsigned *minor, unsigned *release) { H5get_libversion(major, minor, release); }

// The root cause has the name of the file in it, and the system's error behind that.
struct texts { int n; char first[VS_MAX_ERROR / 2], last[VS_MAX_ERROR / 2 - 8]; };

static herr_t collect_error(unsigned n, const H5E_error2_t *e, void *data) {
	struct texts *t = data;
	(void)n;
	if (t->n == 0) snprintf(t->first, sizeof t->first, "%s", e->desc ? e->desc : "");
	else snprintf(t->last, sizeof t->last, "%s", e->desc ? e->desc : "");
	t->n++;
	return 0;
}

static void describe_error(char *buf, size_t size) {
	struct texts t = {0};
	H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, collect_error, &t);
	if (t.n == 0) snprintf(buf, size, "libhdf5 gives no reason");
	else if (t.n == 1) snprintf(buf, size, "%s", t.first);
	else snprintf(buf, size, "%s: %s", t.last, t.first);
}

// The library forgets an error with its next call, even one that only closes a handle, so a function that failed notes it before it cleans up.
static char noted[VS_MAX_ERROR];

static void note(int rc) {
	if (rc == -1) describe_error(noted, sizeof noted);
}

// vs_error writes what the last failed call says: what was wanted, then the root cause.
void vs_error(char *buf, size_t size) {
	if (noted[0]) {
		snprintf(buf, size, "%s", noted);
		noted[0] = 0;
		return;
	}
	describe_error(buf, size);
}

void vs_names_free(vs_names *l) {
	for (size_t i = 0; i < l->len; i++) free(l->name[i]);
	free(l->name);
	free(l->type);
	memset(l, 0, sizeof *l);
}

static herr_t add_name(vs_names *l, const char *name, int type) {
	size_t n = strlen(name) + 1;
	if (l->len >= l->max || l->bytes + n > l->max_bytes) { l->overflow = 1; return 1; }
	if (l->len == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 64;
		char **names = realloc(l->name, cap * sizeof *names);
		if (!names) return -1;
		l->name = names;
		int *types = realloc(l->type, cap * sizeof *types);
		if (!types) return -1;
		l->type = types;
		l->cap = cap;
	}
	char *copy = malloc(n);
	if (!copy) return -1;
	memcpy(copy, name, n);
	l->name[l->len] = copy;
	l->type[l->len++] = type;
	l->bytes += n;
	return 0;
}

static herr_t on_link(hid_t g, const char *name, const H5L_info_t *info, void *data) {
	(void)g;
	return add_name(data, name, info->type == H5L_TYPE_HARD ? 0 : info->type == H5L_TYPE_SOFT ? 1 : 2);
}

int vs_links(hid_t group, vs_names *l) {
	hsize_t at = 0;
	return H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, &at, on_link, l) < 0 ? -1 : 0;
}

static herr_t on_attr(hid_t o, const char *name, const H5A_info_t *info, void *data) {
	(void)o; (void)info;
	return add_name(data, name, 0);
}

int vs_attr_names(hid_t object, vs_names *l) {
	hsize_t at = 0;
	return H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, &at, on_attr, l) < 0 ? -1 : 0;
}

int vs_link(hid_t loc, const char *path, char *target, size_t size) {
	htri_t there = H5Lexists(loc, path, H5P_DEFAULT);
	if (there < 0) return -2;
	if (there == 0) return -1;
	H5L_info_t info;
	if (H5Lget_info(loc, path, &info, H5P_DEFAULT) < 0) return -2;
	if (info.type == H5L_TYPE_HARD) return 0;
	if (info.type != H5L_TYPE_SOFT || info.u.val_size + 1 > size) return 2;
	memset(target, 0, size);
	return H5Lget_val(loc, path, target, size, H5P_DEFAULT) < 0 ? -2 : 1;
}

int vs_object(hid_t loc, const char *path, uint64_t *file, uint64_t *address, int *type, uint64_t *attrs) {
	H5O_info_t info;
	memset(&info, 0, sizeof info);
	if (H5Oget_info_by_name(loc, path, &info, H5P_DEFAULT) < 0) return -1;
	*file = info.fileno;
	*address = info.addr;
	*type = info.type;
	*attrs = info.num_attrs;
	return 0;
}

static int describe_type(hid_t t, vs_info *out) {
	out->cls = out->base = H5Tget_class(t);
	out->size = H5Tget_size(t);
	out->native = H5Tequal(t, H5T_NATIVE_FLOAT) > 0 ? VS_F32 : H5Tequal(t, H5T_NATIVE_DOUBLE) > 0 ? VS_F64 : H5Tequal(t, H5T_NATIVE_INT64) > 0 ? VS_I64 : -1;
	if (out->cls < 0 || out->size == 0) return -1;
	if (out->cls == H5T_ENUM) {
		hid_t base = H5Tget_super(t);
		if (base < 0) return -1;
		out->base = H5Tget_class(base);
		out->sign = H5Tget_sign(base) == H5T_SGN_2;
		H5Tclose(base);
	} else if (out->cls == H5T_INTEGER) {
		out->sign = H5Tget_sign(t) == H5T_SGN_2;
	} else if (out->cls == H5T_FLOAT) {
		size_t spos, epos, esize, mpos, msize;
		if (H5Tget_fields(t, &spos, &epos, &esize, &mpos, &msize) < 0) return -1;
		out->exp_bits = (int)esize;
	} else if (out->cls == H5T_STRING) {
		out->is_vlen_string = H5Tis_variable_str(t) > 0;
		out->space_padded = H5Tget_strpad(t) == H5T_STR_SPACEPAD;
	}
	return 0;
}

// vs_fields lists the members of a compound type. The type of each name is the class of its numbers, and 16 times their count: more than one for
// an array. What is neither a number nor an array of numbers has the count 0.
int vs_fields(hid_t d, vs_names *l) {
	hid_t t = H5Dget_type(d);
	int rc = -1, n = t < 0 ? -1 : H5Tget_nmembers(t);
	for (int i = 0; i < n; i++) {
		char *name = H5Tget_member_name(t, (unsigned)i);
		hid_t m = H5Tget_member_type(t, (unsigned)i);
		hsize_t dims[H5S_MAX_RANK], count = 1;
		hid_t base = m;
		if (m >= 0 && H5Tget_class(m) == H5T_ARRAY) {
			int rank = H5Tget_array_dims2(m, dims);
			for (int k = 0; k < rank; k++) count = dims[k] < 1 << 16 && count < 1 << 16 ? count * dims[k] : 1 << 20;
			base = H5Tget_super(m);
		}
		int cls = base < 0 ? -1 : H5Tget_class(base);
		if (cls != H5T_INTEGER && cls != H5T_FLOAT && cls != H5T_ENUM) count = 0;
		if (count > 1 << 16) count = 0;
		int add = name ? add_name(l, name, (cls < 0 ? 15 : cls) + 16 * (int)count) : -1;
		if (base >= 0 && base != m) H5Tclose(base);
		if (m >= 0) H5Tclose(m);
		H5free_memory(name);
		if (add < 0) goto out;
		if (add > 0) break;
	}
	if (n >= 0) rc = 0;
out:
	note(rc);
	if (t >= 0) H5Tclose(t);
	return rc;
}

static int describe_space(hid_t s, vs_info *out) {
	out->space = H5Sget_simple_extent_type(s);
	out->rank = H5Sget_simple_extent_ndims(s);
	if (out->space < 0 || out->rank < 0) return -1;
	if (out->rank == 0 || out->rank > VS_MAX_RANK) return 0;
	hsize_t dims[VS_MAX_RANK];
	if (H5Sget_simple_extent_dims(s, dims, NULL) < 0) return -1;
	for (int i = 0; i < out->rank; i++) out->dims[i] = dims[i];
	return 0;
}

int vs_describe(hid_t d, vs_info *out) {
	memset(out, 0, sizeof *out);
	int rc = -1;
	hid_t s = H5Dget_space(d), t = H5Dget_type(d), p = H5Dget_create_plist(d);
	if (s < 0 || t < 0 || p < 0 || describe_type(t, out) < 0 || describe_space(s, out) < 0) goto out;
	out->external = H5Pget_external_count(p);
	out->layout = H5Pget_layout(p);
	if (out->external < 0 || out->layout < 0) goto out;
	if (out->layout == H5D_CHUNKED) {
		hsize_t chunk[H5S_MAX_RANK];
		out->chunk_rank = H5Pget_chunk(p, H5S_MAX_RANK, chunk);
		if (out->chunk_rank < 0) goto out;
		for (int i = 0; i < out->chunk_rank && i < VS_MAX_RANK; i++) out->chunk[i] = chunk[i];
		unsigned opts = 0;
		if (H5Pget_chunk_opts(p, &opts) < 0) goto out;
		out->raw_edges = (opts & H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS) != 0;
	}
	if (out->layout == H5D_CONTIGUOUS) out->offset = H5Dget_offset(d);
	out->nfilters = H5Pget_nfilters(p);
	if (out->nfilters < 0) goto out;
	for (int i = 0; i < out->nfilters && i < VS_MAX_FILTERS; i++) {
		unsigned flags, config;
		size_t n = VS_MAX_VALUES;
		char name[4];
		out->filter[i] = H5Pget_filter2(p, i, &flags, &n, out->value[i], sizeof name, name, &config);
		if (out->filter[i] < 0) goto out;
		out->nvalues[i] = n < VS_MAX_VALUES ? (int)n : VS_MAX_VALUES;
	}
	rc = 0;
out:
	note(rc);
	if (s >= 0) H5Sclose(s);
	if (t >= 0) H5Tclose(t);
	if (p >= 0) H5Pclose(p);
	return rc;
}

int vs_describe_attr(hid_t a, vs_info *out) {
	memset(out, 0, sizeof *out);
	hid_t s = H5Aget_space(a), t = H5Aget_type(a);
	int rc = s < 0 || t < 0 || describe_type(t, out) < 0 || describe_space(s, out) < 0 ? -1 : 0;
	note(rc);
	if (s >= 0) H5Sclose(s);
	if (t >= 0) H5Tclose(t);
	return rc;
}

// vs_chunks_ok looks at the stored size of every chunk under the rows: 0 fine, 1 one is larger than limit, 2 one lies behind the end of
// the file, -1 error. A stored chunk that is much
// larger than the values it stands for is a decompression bomb; one that is not can grow by no more than deflate's 1032.
int vs_chunks_ok(hid_t d, const vs_info *in, int axis, uint64_t row0, uint64_t rows, uint64_t limit, uint64_t end) {
	hsize_t at[VS_MAX_RANK] = {0};
	if (in->rank < 1 || rows == 0) return 0;
	uint64_t first = row0 / in->chunk[axis] * in->chunk[axis];
	at[axis] = first;
	for (;;) {
		unsigned mask;
		haddr_t addr;
		hsize_t size = 0;
		if (H5Dget_chunk_info_by_coord(d, at, &mask, &addr, &size) < 0) return -1;
		if (size > limit) return 1;
		if (addr != HADDR_UNDEF && size > 0 && (addr > end || size > end - addr)) return 2;
		int i = in->rank - 1;
		for (; i >= 0; i--) { // the next chunk, last dimension first
			at[i] += in->chunk[i];
			if (at[i] < (i == axis ? row0 + rows : in->dims[i])) break;
			at[i] = i == axis ? first : 0;
		}
		if (i < 0) return 0;
	}
}

static hid_t mem_type(int mem) {
	switch (mem) {
	case VS_F32: return H5T_NATIVE_FLOAT;
	case VS_F64: return H5T_NATIVE_DOUBLE;
	case VS_I64: return H5T_NATIVE_INT64;
	case VS_U64: return H5T_NATIVE_UINT64;
	case VS_U8: return H5T_NATIVE_UINT8;
	case VS_I32: return H5T_NATIVE_INT32;
	}
	return -1;
}

static uint64_t mem_size(int mem) { return mem == VS_F32 || mem == VS_I32 ? 4 : mem == VS_U8 ? 1 : 8; }

// select_rows makes the pair of dataspaces for rows of a dataset along an axis. The memory space has the rank of the file's: a flat one is 26 times slower
// on chunked data. *count is the number of elements.
static int select_rows(hid_t d, int axis, uint64_t row0, uint64_t rows, hid_t *file, hid_t *mem, uint64_t *count) {
	*mem = -1;
	*file = H5Dget_space(d);
	if (*file < 0) return -1;
	int rank = H5Sget_simple_extent_ndims(*file);
	if (rank < 0 || rank > VS_MAX_RANK) return -1;
	if (rank == 0) { // a scalar is one row of one value
		if (row0 != 0 || rows != 1) return -1;
		*count = 1;
		*mem = H5Screate(H5S_SCALAR);
		return *mem < 0 ? -1 : 0;
	}
	hsize_t dims[VS_MAX_RANK], off[VS_MAX_RANK] = {0}, cnt[VS_MAX_RANK], n = 1;
	if (H5Sget_simple_extent_dims(*file, dims, NULL) < 0) return -1;
	if (axis >= rank || row0 > dims[axis] || rows > dims[axis] - row0) return -1;
	for (int i = 0; i < rank; i++) {
		cnt[i] = i == axis ? rows : dims[i];
		if (cnt[i] == 0) return -1;
		if (n > UINT64_MAX / cnt[i]) return -1;
		n *= cnt[i];
	}
	off[axis] = row0;
	if (H5Sselect_hyperslab(*file, H5S_SELECT_SET, off, NULL, cnt, NULL) < 0) return -1;
	*count = n;
	*mem = H5Screate_simple(rank, cnt, NULL);
	return *mem < 0 ? -1 : 0;
}

// value_type makes the memory type of a dataset's values: numbers, or one member of a compound type. *size is its size in bytes. A bit field is only
// converted to other bit fields.
static hid_t value_type(hid_t file, int mem, const char *field, uint64_t *size) {
	*size = mem_size(mem);
	if (!field && H5Tget_class(file) == H5T_BITFIELD) {
		*size = 8;
		return H5Tcopy(H5T_NATIVE_B64);
	}
	if (!field) return H5Tcopy(mem_type(mem));
	int i = H5Tget_member_index(file, field);
	hid_t member = i < 0 ? -1 : H5Tget_member_type(file, (unsigned)i), to = -1, out = -1;
	if (member < 0) return -1;
	if (H5Tget_class(member) == H5T_ARRAY) {
		hsize_t dims[H5S_MAX_RANK];
		int rank = H5Tget_array_dims2(member, dims);
		for (int k = 0; k < rank; k++) *size *= dims[k];
		if (rank > 0) to = H5Tarray_create2(mem_type(mem), (unsigned)rank, dims);
	} else {
		to = H5Tcopy(mem_type(mem));
	}
	if (to >= 0) out = H5Tcreate(H5T_COMPOUND, *size);
	if (out >= 0 && H5Tinsert(out, field, 0, to) < 0) {
		H5Tclose(out);
		out = -1;
	}
	if (to >= 0) H5Tclose(to);
	H5Tclose(member);
	return out;
}

int vs_read(hid_t d, int mem, const char *field, int axis, uint64_t row0, uint64_t rows, uint64_t cap, void *buf) {
	hid_t f = -1, m = -1, file = H5Dget_type(d);
	uint64_t n = 0, size = 0;
	hid_t type = file < 0 ? -1 : value_type(file, mem, field, &size);
	int rc = type < 0 ? -1 : select_rows(d, axis, row0, rows, &f, &m, &n);
	if (rc == 0 && n > cap / size) rc = -2;
	if (rc == 0) rc = H5Dread(d, type, m, f, H5P_DEFAULT, buf) < 0 ? -1 : 0;
	note(rc);
	if (m >= 0) H5Sclose(m);
	if (f >= 0) H5Sclose(f);
	if (type >= 0) H5Tclose(type);
	if (file >= 0) H5Tclose(file);
	return rc;
}

int vs_convert(hid_t d, int mem, const char *field, uint64_t n, uint64_t cap, void *buf, void *background) {
	uint64_t size = 0;
	hid_t file = H5Dget_type(d);
	hid_t type = file < 0 ? -1 : value_type(file, mem, field, &size);
	int rc = type < 0 ? -1 : n > cap / size || n > cap / H5Tget_size(file) ? -2 : 0;
	if (rc == 0) rc = H5Tconvert(file, type, n, buf, background, H5P_DEFAULT) < 0 ? -1 : 0;
	note(rc);
	if (type >= 0) H5Tclose(type);
	if (file >= 0) H5Tclose(file);
	return rc;
}

int vs_claimed(hid_t file, uint64_t *size) {
	haddr_t end;
	if (H5Fget_eoa(file, &end) < 0) return -1;
	*size = end;
	return 0;
}

int vs_chunk_size(hid_t d, const uint64_t *at, int rank, uint64_t *size) {
	hsize_t offset[VS_MAX_RANK], n = 0;
	for (int i = 0; i < rank; i++) offset[i] = at[i];
	if (H5Dget_chunk_storage_size(d, offset, &n) >= 0) {
		*size = n;
		return 0;
	}
	// Some versions fail if the chunk was never written. The other function, which tells, looks at every chunk there is.
	unsigned mask;
	haddr_t addr = HADDR_UNDEF;
	if (H5Dget_chunk_info_by_coord(d, offset, &mask, &addr, &n) < 0) return -1;
	*size = addr == HADDR_UNDEF ? 0 : n;
	return 0;
}

int vs_chunk(hid_t d, const uint64_t *at, int rank, void *buf, uint32_t *mask) {
	hsize_t offset[VS_MAX_RANK];
	for (int i = 0; i < rank; i++) offset[i] = at[i];
	int rc = H5Dread_chunk(d, H5P_DEFAULT, offset, mask, buf) < 0 ? -1 : 0;
	note(rc);
	return rc;
}

int vs_fill(hid_t d, void *element) {
	hid_t t = H5Dget_type(d), p = H5Dget_create_plist(d);
	int rc = t < 0 || p < 0 || H5Pget_fill_value(p, t, element) < 0 ? -1 : 0;
	note(rc);
	if (t >= 0) H5Tclose(t);
	if (p >= 0) H5Pclose(p);
	return rc;
}

int vs_read_attr(hid_t a, int mem, uint64_t cap, void *buf) {
	hid_t s = H5Aget_space(a);
	if (s < 0) return -1;
	hssize_t n = H5Sget_simple_extent_npoints(s);
	H5Sclose(s);
	if (n < 0) return -1;
	if ((uint64_t)n > cap / mem_size(mem)) return -2;
	return H5Aread(a, mem_type(mem), buf) < 0 ? -1 : 0;
}

int vs_strings_read(hid_t o, int is_attr, const vs_info *in, uint64_t row0, uint64_t rows, uint64_t max_bytes, vs_strings *out) {
	memset(out, 0, sizeof *out);
	out->type = out->space = -1;
	hid_t file = -1;
	int rc = -1;
	hid_t t = is_attr ? H5Aget_type(o) : H5Dget_type(o);
	if (t < 0) return -1;
	if (is_attr) {
		out->space = H5Aget_space(o);
		hssize_t n = out->space < 0 ? -1 : H5Sget_simple_extent_npoints(out->space);
		if (n < 0) goto out;
		out->count = (uint64_t)n;
	} else if (select_rows(o, 0, row0, rows, &file, &out->space, &out->count) < 0) {
		goto out;
	}
	out->vlen = in->is_vlen_string;
	out->pad = H5Tget_strpad(t);
	if (out->vlen) { // a C string type of the file's own character set: there is no conversion between sets
		out->size = sizeof(char *);
		out->type = H5Tcopy(H5T_C_S1);
		if (out->type < 0 || H5Tset_size(out->type, H5T_VARIABLE) < 0 || H5Tset_cset(out->type, H5Tget_cset(t)) < 0) goto out;
	} else {
		out->size = H5Tget_size(t);
		out->type = H5Tcopy(t);
		if (out->type < 0 || out->size == 0) goto out;
	}
	if (out->count == 0) { rc = 0; goto out; }
	if (out->count > max_bytes / out->size) { rc = -2; goto out; }
	out->buf = calloc(out->count, out->size);
	if (!out->buf) goto out;
	rc = (is_attr ? H5Aread(o, out->type, out->buf) : H5Dread(o, out->type, out->space, file, H5P_DEFAULT, out->buf)) < 0 ? -1 : 0;
out:
	note(rc);
	if (file >= 0) H5Sclose(file);
	H5Tclose(t);
	if (rc != 0) {
		out->vlen = 0; // what a failed read left behind is not reclaimed: it may be half written
		vs_strings_free(out);
	}
	return rc;
}

const char *vs_string(const vs_strings *s, uint64_t i, uint64_t max, uint64_t *len) {
	const char *p;
	if (s->vlen) {
		p = ((char **)s->buf)[i];
		*len = p ? strnlen(p, max) : 0;
		return p;
	}
	p = (const char *)s->buf + i * s->size;
	*len = strnlen(p, s->size < max ? s->size : max);
	if (s->pad == H5T_STR_SPACEPAD)
		while (*len > 0 && p[*len - 1] == ' ') --*len;
	return p;
}

void vs_strings_free(vs_strings *s) {
	if (s->vlen && s->buf) H5Dvlen_reclaim(s->type, s->space, H5P_DEFAULT, s->buf);
	free(s->buf);
	if (s->type >= 0) H5Tclose(s->type);
	if (s->space >= 0) H5Sclose(s->space);
	s->buf = NULL;
	s->type = s->space = -1;
}

int vs_make_groups(hid_t file, const char *path) {
	hid_t lcpl = H5Pcreate(H5P_LINK_CREATE);
	if (lcpl < 0) return -1;
	H5Pset_create_intermediate_group(lcpl, 1);
	hid_t g = H5Gcreate2(file, path, lcpl, H5P_DEFAULT, H5P_DEFAULT);
	note(g < 0 ? -1 : 0);
	H5Pclose(lcpl);
	if (g < 0) return -1;
	return H5Gclose(g) < 0 ? -1 : 0;
}

// file_type returns a copy of the little-endian type that values are stored in.
static hid_t file_type(int mem, uint64_t text) {
	switch (mem) {
	case VS_F32: return H5Tcopy(H5T_IEEE_F32LE);
	case VS_F64: return H5Tcopy(H5T_IEEE_F64LE);
	case VS_U8: return H5Tcopy(H5T_STD_U8LE);
	case VS_I32: return H5Tcopy(H5T_STD_I32LE);
	case VS_I64: return H5Tcopy(H5T_STD_I64LE);
	}
	hid_t t = H5Tcopy(H5T_C_S1);
	if (t >= 0 && (H5Tset_size(t, text) < 0 || H5Tset_cset(t, H5T_CSET_UTF8) < 0 || H5Tset_strpad(t, H5T_STR_NULLPAD) < 0)) {
		H5Tclose(t);
		return -1;
	}
	return t;
}

hid_t vs_create_dataset(hid_t file, const char *path, int mem, uint64_t text, int rank, const uint64_t *dims, const uint64_t *max,
	const uint64_t *chunk, int gzip, int shuffle) {
	hsize_t d[VS_MAX_RANK], m[VS_MAX_RANK], c[VS_MAX_RANK];
	for (int i = 0; i < rank; i++) {
		d[i] = dims[i];
		m[i] = max[i] == UINT64_MAX ? H5S_UNLIMITED : max[i];
		c[i] = chunk ? chunk[i] : 0;
	}
	hid_t ds = -1, s = rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(rank, d, m);
	hid_t lcpl = H5Pcreate(H5P_LINK_CREATE), dcpl = H5Pcreate(H5P_DATASET_CREATE), type = file_type(mem, text);
	if (s < 0 || lcpl < 0 || dcpl < 0 || type < 0) goto out;
	if (H5Pset_create_intermediate_group(lcpl, 1) < 0) goto out;
	if (H5Pset_obj_track_times(dcpl, 0) < 0) goto out; // the same data gives the same bytes
	if (chunk) {
		if (H5Pset_chunk(dcpl, rank, c) < 0) goto out;
		if (shuffle && H5Pset_shuffle(dcpl) < 0) goto out;
		if (gzip > 0 && H5Pset_deflate(dcpl, gzip) < 0) goto out;
	}
	ds = H5Dcreate2(file, path, type, s, lcpl, dcpl, H5P_DEFAULT);
out:
	note(ds < 0 ? -1 : 0);
	if (type >= 0) H5Tclose(type);
	if (s >= 0) H5Sclose(s);
	if (lcpl >= 0) H5Pclose(lcpl);
	if (dcpl >= 0) H5Pclose(dcpl);
	return ds;
}

// vs_write writes rows of a dataset whose other dimensions are dims[1:]; with extend it first grows to hold them.
int vs_write(hid_t d, int mem, int rank, const uint64_t *dims, uint64_t row0, uint64_t rows, int extend, const void *buf) {
	if (extend) {
		hsize_t to[VS_MAX_RANK];
		for (int i = 0; i < rank; i++) to[i] = dims[i];
		to[0] = row0 + rows;
		if (H5Dset_extent(d, to) < 0) return -1;
	}
	hid_t f, m, type = mem == VS_TEXT ? H5Dget_type(d) : H5Tcopy(mem_type(mem));
	uint64_t n;
	int rc = select_rows(d, 0, row0, rows, &f, &m, &n);
	if (type < 0) rc = -1;
	if (rc == 0) rc = H5Dwrite(d, type, m, f, H5P_DEFAULT, buf) < 0 ? -1 : 0;
	note(rc);
	if (type >= 0) H5Tclose(type);
	if (m >= 0) H5Sclose(m);
	if (f >= 0) H5Sclose(f);
	return rc;
}

static int write_attr(hid_t o, const char *name, hid_t file_type, hid_t mem, hid_t space, const void *buf, int empty) {
	hid_t a = space < 0 ? -1 : H5Acreate2(o, name, file_type, space, H5P_DEFAULT, H5P_DEFAULT);
	int rc = a < 0 ? -1 : 0;
	if (rc == 0 && !empty && H5Awrite(a, mem, buf) < 0) rc = -1;
	note(rc);
	if (a >= 0 && H5Aclose(a) < 0) rc = -1;
	return rc;
}

static hid_t list_space(int rank, uint64_t count) {
	hsize_t n = count;
	return rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &n, NULL);
}

int vs_write_attr(hid_t o, const char *name, int mem, int rank, uint64_t count, const void *buf) {
	hid_t s = list_space(rank, count);
	hid_t type = file_type(mem, 0);
	int rc = type < 0 ? -1 : write_attr(o, name, type, mem_type(mem), s, buf, rank > 0 && count == 0);
	if (type >= 0) H5Tclose(type);
	if (s >= 0) H5Sclose(s);
	return rc;
}

int vs_write_attr_text(hid_t o, const char *name, const char *text, int utf8) {
	int rc = -1;
	hid_t s = H5Screate(H5S_SCALAR), t = H5Tcopy(H5T_C_S1);
	if (t >= 0 && H5Tset_size(t, H5T_VARIABLE) >= 0 && H5Tset_cset(t, utf8 ? H5T_CSET_UTF8 : H5T_CSET_ASCII) >= 0)
		rc = write_attr(o, name, t, t, s, &text, 0);
	if (t >= 0) H5Tclose(t);
	if (s >= 0) H5Sclose(s);
	return rc;
}

int vs_write_attr_texts(hid_t o, const char *name, uint64_t count, uint64_t size, int utf8, const void *buf) {
	int rc = -1;
	hid_t s = list_space(1, count), t = H5Tcopy(H5T_C_S1);
	if (t >= 0 && H5Tset_size(t, size) >= 0 && H5Tset_strpad(t, H5T_STR_NULLPAD) >= 0 &&
		H5Tset_cset(t, utf8 ? H5T_CSET_UTF8 : H5T_CSET_ASCII) >= 0)
		rc = write_attr(o, name, t, t, s, buf, count == 0);
	if (t >= 0) H5Tclose(t);
	if (s >= 0) H5Sclose(s);
	return rc;
}

int64_t vs_open_objects(void) { return (int64_t)H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL); }

// vs_narrow rounds doubles to floats. It returns 1 where a float is infinite: its double may have been finite, and too
// large. cgo compiles with -O2, which leaves this loop without vector instructions on older compilers.
__attribute__((optimize("O3")))
int vs_narrow(float *restrict to, const double *restrict from, size_t n) {
	unsigned infinite = 0;
	for (size_t i = 0; i < n; i++) {
		union { float f; unsigned u; } w = {(float)from[i]};
		infinite |= (w.u & 0x7fffffffu) == 0x7f800000u;
		to[i] = w.f;
	}
	return infinite != 0;
}
