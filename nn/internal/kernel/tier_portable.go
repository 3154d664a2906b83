//go:build !amd64 || noasm

package kernel

func fastTiers() []Tier { return nil }

func fastInner(Tier) (inner, bool) { return inner{}, false }
