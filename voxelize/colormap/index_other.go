//go:build !amd64

package colormap

const vectors = false

func index64Vectors(*uint8, *float64, int, float64, float64) { panic("unreachable") }

func indexVectors(*uint8, *float32, int, float32, float64) { panic("unreachable") }
