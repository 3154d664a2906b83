//go:build !amd64

package vector

const (
	vectors = false
	block   = 1
	block64 = 1
)

func rangeVectors(*float32, int) (least, most, differences float32) { panic("unreachable") }

func range64Vectors(*float64, int) (least, most, differences float64) { panic("unreachable") }

func dotVectors(*uint8, *uint8, int) uint64 { panic("unreachable") }
