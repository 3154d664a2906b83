#include "textflag.h"

DATA size<>+0(SB)/4, $256.0
GLOBL size<>(SB), RODATA|NOPTR, $4
DATA last<>+0(SB)/4, $255.0
GLOBL last<>(SB), RODATA|NOPTR, $4
DATA size64<>+0(SB)/8, $256.0
GLOBL size64<>(SB), RODATA|NOPTR, $8
DATA last64<>+0(SB)/8, $255.0
GLOBL last64<>(SB), RODATA|NOPTR, $8

// func indexVectors(dst *uint8, values *float32, n int, least float32, width float64)
// Y8 is the lowest value, Y9 the same as float64, Y10 the width, Y11 256, Y12 255, Y13 0.
TEXT ·indexVectors(SB), NOSPLIT, $0-40
	MOVQ         dst+0(FP), DI
	MOVQ         values+8(FP), SI
	MOVQ         n+16(FP), CX
	VBROADCASTSS least+24(FP), Y8
	VCVTPS2PD    X8, Y9
	VBROADCASTSD width+32(FP), Y10
	VBROADCASTSS size<>(SB), Y11
	VBROADCASTSS last<>(SB), Y12
	VXORPS       Y13, Y13, Y13
	XORQ         BX, BX

loop:
	VMOVUPS   (SI), Y0
	VCMPPS    $0, Y8, Y0, Y1
	VMOVMSKPS Y1, AX
	CMPL      AX, $0xff
	JEQ       empty

	// x = float32(float64(v) - least), x = float32(float64(x) / width)
	VEXTRACTF128 $1, Y0, X1
	VCVTPS2PD    X0, Y2
	VCVTPS2PD    X1, Y3
	VSUBPD       Y9, Y2, Y2
	VSUBPD       Y9, Y3, Y3
	VCVTPD2PSY   Y2, X2
	VCVTPD2PSY   Y3, X3
	VCVTPS2PD    X2, Y2
	VCVTPS2PD    X3, Y3
	VDIVPD       Y10, Y2, Y2
	VDIVPD       Y10, Y3, Y3
	VCVTPD2PSY   Y2, X2
	VCVTPD2PSY   Y3, X3
	VINSERTF128  $1, X3, Y2, Y2

	// The entry is x * 256, at most 255, truncated.
	VMULPS       Y11, Y2, Y2
	VMINPS       Y12, Y2, Y2
	VMAXPS       Y13, Y2, Y2
	VCVTTPS2DQ   Y2, Y2
	VEXTRACTI128 $1, Y2, X3
	VPACKUSDW    X3, X2, X2
	VPACKUSWB    X2, X2, X2
	VMOVQ        X2, (DI)
	JMP          next

empty:
	MOVQ BX, (DI)

next:
	ADDQ $32, SI
	ADDQ $8, DI
	SUBQ $8, CX
	JNZ  loop
	VZEROUPPER
	RET

// func index64Vectors(dst *uint8, values *float64, n int, least, width float64)
// Y8 is the lowest value, Y10 the width, Y11 256, Y12 255, Y13 0.
TEXT ·index64Vectors(SB), NOSPLIT, $0-40
	MOVQ         dst+0(FP), DI
	MOVQ         values+8(FP), SI
	MOVQ         n+16(FP), CX
	VBROADCASTSD least+24(FP), Y8
	VBROADCASTSD width+32(FP), Y10
	VBROADCASTSD size64<>(SB), Y11
	VBROADCASTSD last64<>(SB), Y12
	VXORPD       Y13, Y13, Y13
	XORQ         BX, BX

loop64:
	VMOVUPD   (SI), Y0
	VMOVUPD   32(SI), Y1
	VCMPPD    $0, Y8, Y0, Y2
	VCMPPD    $0, Y8, Y1, Y3
	VANDPD    Y3, Y2, Y2
	VMOVMSKPD Y2, AX
	CMPL      AX, $0xf
	JEQ       empty64

	VSUBPD      Y8, Y0, Y0
	VSUBPD      Y8, Y1, Y1
	VDIVPD      Y10, Y0, Y0
	VDIVPD      Y10, Y1, Y1
	VMULPD      Y11, Y0, Y0
	VMULPD      Y11, Y1, Y1
	VMINPD      Y12, Y0, Y0
	VMINPD      Y12, Y1, Y1
	VMAXPD      Y13, Y0, Y0
	VMAXPD      Y13, Y1, Y1
	VCVTTPD2DQY Y0, X0
	VCVTTPD2DQY Y1, X1
	VPACKUSDW   X1, X0, X0
	VPACKUSWB   X0, X0, X0
	VMOVQ       X0, (DI)
	JMP         next64

empty64:
	MOVQ BX, (DI)

next64:
	ADDQ $64, SI
	ADDQ $8, DI
	SUBQ $8, CX
	JNZ  loop64
	VZEROUPPER
	RET
