#include <stddef.h>
#include <stdint.h>

// vs_unshuffle restores the first elements of n that have 2, 4 or 8 bytes, and returns how many it has restored.
size_t vs_unshuffle(uint8_t *dst, const uint8_t *src, size_t n, int size);
