#include "textflag.h"

// func rangeVectors(values *float32, n int) (least, most, differences float32)
// Y0-Y3 hold the lowest values, Y4-Y7 the highest, Y8-Y11 the sums of differences.
TEXT ·rangeVectors(SB), NOSPLIT, $0-28
	MOVQ    values+0(FP), SI
	MOVQ    n+8(FP), CX
	VMOVUPS (SI), Y0
	VMOVUPS Y0, Y1
	VMOVUPS Y0, Y2
	VMOVUPS Y0, Y3
	VMOVUPS Y0, Y4
	VMOVUPS Y0, Y5
	VMOVUPS Y0, Y6
	VMOVUPS Y0, Y7
	VXORPS  Y8, Y8, Y8
	VXORPS  Y9, Y9, Y9
	VXORPS  Y10, Y10, Y10
	VXORPS  Y11, Y11, Y11

loop:
	VMOVUPS (SI), Y12
	VMOVUPS 32(SI), Y13
	VMOVUPS 64(SI), Y14
	VMOVUPS 96(SI), Y15
	VMINPS  Y12, Y0, Y0
	VMINPS  Y13, Y1, Y1
	VMINPS  Y14, Y2, Y2
	VMINPS  Y15, Y3, Y3
	VMAXPS  Y12, Y4, Y4
	VMAXPS  Y13, Y5, Y5
	VMAXPS  Y14, Y6, Y6
	VMAXPS  Y15, Y7, Y7
	VSUBPS  Y12, Y12, Y12
	VSUBPS  Y13, Y13, Y13
	VSUBPS  Y14, Y14, Y14
	VSUBPS  Y15, Y15, Y15
	VADDPS  Y12, Y8, Y8
	VADDPS  Y13, Y9, Y9
	VADDPS  Y14, Y10, Y10
	VADDPS  Y15, Y11, Y11
	ADDQ    $128, SI
	SUBQ    $32, CX
	JNZ     loop

	VMINPS Y1, Y0, Y0
	VMINPS Y3, Y2, Y2
	VMINPS Y2, Y0, Y0
	VMAXPS Y5, Y4, Y4
	VMAXPS Y7, Y6, Y6
	VMAXPS Y6, Y4, Y4
	VADDPS Y9, Y8, Y8
	VADDPS Y11, Y10, Y10
	VADDPS Y10, Y8, Y8

	VEXTRACTF128 $1, Y0, X1
	VMINPS       X1, X0, X0
	VPERMILPS    $0x4e, X0, X1
	VMINPS       X1, X0, X0
	VPERMILPS    $0xb1, X0, X1
	VMINPS       X1, X0, X0
	VEXTRACTF128 $1, Y4, X5
	VMAXPS       X5, X4, X4
	VPERMILPS    $0x4e, X4, X5
	VMAXPS       X5, X4, X4
	VPERMILPS    $0xb1, X4, X5
	VMAXPS       X5, X4, X4
	VEXTRACTF128 $1, Y8, X9
	VADDPS       X9, X8, X8
	VPERMILPS    $0x4e, X8, X9
	VADDPS       X9, X8, X8
	VPERMILPS    $0xb1, X8, X9
	VADDPS       X9, X8, X8
	VMOVSS       X0, least+16(FP)
	VMOVSS       X4, most+20(FP)
	VMOVSS       X8, differences+24(FP)
	VZEROUPPER
	RET

// func dotVectors(a, b *uint8, n int) uint64
// Y0 and Y1 hold 32-bit sums of the products of 16 bytes each.
TEXT ·dotVectors(SB), NOSPLIT, $0-32
	MOVQ  a+0(FP), SI
	MOVQ  b+8(FP), DI
	MOVQ  n+16(FP), CX
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1

dot:
	VPMOVZXBW (SI), Y2
	VPMOVZXBW (DI), Y3
	VPMOVZXBW 16(SI), Y4
	VPMOVZXBW 16(DI), Y5
	VPMADDWD  Y3, Y2, Y2
	VPMADDWD  Y5, Y4, Y4
	VPADDD    Y2, Y0, Y0
	VPADDD    Y4, Y1, Y1
	ADDQ      $32, SI
	ADDQ      $32, DI
	SUBQ      $32, CX
	JNZ       dot

	// Sums of both to eight 64-bit numbers, and those to one.
	VEXTRACTI128 $1, Y0, X2
	VEXTRACTI128 $1, Y1, X3
	VPMOVZXDQ    X0, Y4
	VPMOVZXDQ    X1, Y5
	VPMOVZXDQ    X2, Y2
	VPMOVZXDQ    X3, Y3
	VPADDQ       Y2, Y4, Y4
	VPADDQ       Y3, Y5, Y5
	VPADDQ       Y5, Y4, Y4
	VEXTRACTI128 $1, Y4, X5
	VPADDQ       X5, X4, X4
	VPSHUFD      $0x4e, X4, X5
	VPADDQ       X5, X4, X4
	VMOVQ        X4, AX
	MOVQ         AX, ret+24(FP)
	VZEROUPPER
	RET

// func range64Vectors(values *float64, n int) (least, most, differences float64)
// Y0 and Y1 hold the lowest values, Y2 and Y3 the highest, Y4 and Y5 the sums of differences.
TEXT ·range64Vectors(SB), NOSPLIT, $0-40
	MOVQ    values+0(FP), SI
	MOVQ    n+8(FP), CX
	VMOVUPD (SI), Y0
	VMOVUPD Y0, Y1
	VMOVUPD Y0, Y2
	VMOVUPD Y0, Y3
	VXORPD  Y4, Y4, Y4
	VXORPD  Y5, Y5, Y5

loop64:
	VMOVUPD (SI), Y6
	VMOVUPD 32(SI), Y7
	VMINPD  Y6, Y0, Y0
	VMINPD  Y7, Y1, Y1
	VMAXPD  Y6, Y2, Y2
	VMAXPD  Y7, Y3, Y3
	VSUBPD  Y6, Y6, Y6
	VSUBPD  Y7, Y7, Y7
	VADDPD  Y6, Y4, Y4
	VADDPD  Y7, Y5, Y5
	ADDQ    $64, SI
	SUBQ    $8, CX
	JNZ     loop64

	VMINPD       Y1, Y0, Y0
	VMAXPD       Y3, Y2, Y2
	VADDPD       Y5, Y4, Y4
	VEXTRACTF128 $1, Y0, X1
	VMINPD       X1, X0, X0
	VPERMILPD    $1, X0, X1
	VMINPD       X1, X0, X0
	VEXTRACTF128 $1, Y2, X3
	VMAXPD       X3, X2, X2
	VPERMILPD    $1, X2, X3
	VMAXPD       X3, X2, X2
	VEXTRACTF128 $1, Y4, X5
	VADDPD       X5, X4, X4
	VPERMILPD    $1, X4, X5
	VADDPD       X5, X4, X4
	VZEROUPPER
	MOVSD        X0, least+16(FP)
	MOVSD        X2, most+24(FP)
	MOVSD        X4, differences+32(FP)
	RET
