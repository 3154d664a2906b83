//go:build cgo && !nohdf5

#include "shuffle.h"
#include <string.h>

typedef uint8_t bytes16 __attribute__((vector_size(16)));

// low and high interleave the bytes of the lower and of the upper halves of two vectors.
#ifdef __clang__
#define low(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define high(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#else
#define low(a, b) __builtin_shuffle(a, b, (bytes16){0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23})
#define high(a, b) __builtin_shuffle(a, b, (bytes16){8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31})
#endif

// unshuffle restores 16 elements at a time: size planes of 16 bytes are transposed. To interleave the first half of the
// bytes with the second moves the highest bit of each byte's index to the lowest place, so it is done once for each bit
// of the plane's number.
#define UNSHUFFLE(size, steps) \
	__attribute__((optimize("O3"))) static void unshuffle##size(uint8_t *dst, const uint8_t *src, size_t n) { \
		for (size_t i = 0; i + 16 <= n; i += 16) { \
			bytes16 v[size], w[size]; \
			for (int k = 0; k < size; k++) memcpy(&v[k], src + k * n + i, 16); \
			for (int step = 0; step < steps; step++) { \
				for (int k = 0; k < size / 2; k++) { \
					w[2 * k] = low(v[k], v[k + size / 2]); \
					w[2 * k + 1] = high(v[k], v[k + size / 2]); \
				} \
				memcpy(v, w, sizeof v); \
			} \
			memcpy(dst + i * size, v, sizeof v); \
		} \
	}

UNSHUFFLE(2, 1)
UNSHUFFLE(4, 2)
UNSHUFFLE(8, 3)

size_t vs_unshuffle(uint8_t *dst, const uint8_t *src, size_t n, int size) {
	switch (size) {
	case 2: unshuffle2(dst, src, n); break;
	case 4: unshuffle4(dst, src, n); break;
	case 8: unshuffle8(dst, src, n); break;
	default: return 0;
	}
	return n / 16 * 16;
}
