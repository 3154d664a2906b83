#include "textflag.h"

DATA half<>+0(SB)/8, $0.5
GLOBL half<>(SB), RODATA|NOPTR, $8
DATA magnitude<>+0(SB)/8, $0x7fffffffffffffff
GLOBL magnitude<>(SB), RODATA|NOPTR, $8
DATA outside<>+0(SB)/8, $-1.0
GLOBL outside<>(SB), RODATA|NOPTR, $8
DATA face<>+0(SB)/8, $-2.0
GLOBL face<>(SB), RODATA|NOPTR, $8

// Offsets of the fields of a finder; an axis takes 32 bytes.
#define ORIGIN 0
#define SCALE 96
#define LIMIT 192
#define STRIDE 288
#define GUARD 384

// FLOOR makes Y1 the floor of the coordinate at ptr in cells, and Y0 all ones where that is far enough from a face. The
// sign of Y2 says that the floor is outside the grid.
#define FLOOR(ptr, origin, scale, axis) \
	VMOVUPD   (ptr)(BX*8), Y0; \
	VSUBPD    origin, Y0, Y0; \
	VMULPD    scale, Y0, Y0; \
	VROUNDPD  $1, Y0, Y1; \
	VSUBPD    Y1, Y0, Y0; \
	VSUBPD    Y12, Y0, Y0; \
	VANDPD    Y13, Y0, Y0; \
	VCMPPD    $2, Y14, Y0, Y0; \
	VMOVUPD   LIMIT+32*axis(R11), Y2; \
	VSUBPD    Y1, Y2, Y2; \
	VORPD     Y1, Y2, Y2

// func findVectors(cells *int32, x, y, z *float64, n int, f *finder)
// Y3 is where points are far from faces, Y4 where they are outside, Y5 their cells. Y6-Y8 is the origin, Y9-Y11 the
// scale, Y12 0.5, Y13 the mask of magnitudes, Y14 the guard. The sign bits of X15 say that a cell is negative.
TEXT ·findVectors(SB), NOSPLIT, $0-49
	MOVQ         cells+0(FP), DI
	MOVQ         x+8(FP), R8
	MOVQ         y+16(FP), R9
	MOVQ         z+24(FP), R10
	MOVQ         n+32(FP), CX
	MOVQ         f+40(FP), R11
	VMOVUPD      ORIGIN(R11), Y6
	VMOVUPD      ORIGIN+32(R11), Y7
	VMOVUPD      ORIGIN+64(R11), Y8
	VMOVUPD      SCALE(R11), Y9
	VMOVUPD      SCALE+32(R11), Y10
	VMOVUPD      SCALE+64(R11), Y11
	VBROADCASTSD half<>(SB), Y12
	VBROADCASTSD magnitude<>(SB), Y13
	VMOVUPD      GUARD(R11), Y14
	VXORPS       X15, X15, X15
	XORQ         BX, BX

loop:
	FLOOR(R8, Y6, Y9, 0)
	VMOVAPD Y0, Y3
	VMOVAPD Y2, Y4
	VMULPD  STRIDE(R11), Y1, Y5
	FLOOR(R9, Y7, Y10, 1)
	VANDPD  Y0, Y3, Y3
	VORPD   Y2, Y4, Y4
	VMULPD  STRIDE+32(R11), Y1, Y1
	VADDPD  Y1, Y5, Y5
	FLOOR(R10, Y8, Y11, 2)
	VANDPD  Y0, Y3, Y3
	VORPD   Y2, Y4, Y4
	VMULPD  STRIDE+64(R11), Y1, Y1
	VADDPD  Y1, Y5, Y5

	VBROADCASTSD outside<>(SB), Y0
	VBROADCASTSD face<>(SB), Y1
	VBLENDVPD    Y4, Y0, Y5, Y5
	VBLENDVPD    Y3, Y5, Y1, Y5
	VCVTTPD2DQY  Y5, X5
	VORPS        X5, X15, X15
	VMOVUPS      X5, (DI)(BX*4)
	ADDQ         $4, BX
	CMPQ         BX, CX
	JLT          loop
	VMOVMSKPS    X15, AX
	TESTL        AX, AX
	SETEQ        clean+48(FP)
	VZEROUPPER
	RET
