package kernel

func fastTiers() []Tier { return nil }

func fastInner(Tier) (inner, bool) { return inner{}, false }
