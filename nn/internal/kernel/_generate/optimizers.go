package main

import (
	. "github.com/mmcloughlin/avo/reg"
)

// optimizers generates the steps of the optimizers but Adam; package kernel states them as formulas beside the
// portable loops.
func (l lanes) optimizers() {
	type vectors = map[string]VecVirtual
	for _, nesterov := range []bool{false, true} {
		name := map[bool]string{false: "momentum", true: "nesterov"}[nesterov]
		arrays := []string{"value", "velocity", "gradient"}
		l.elements(name, "makes a step of rate p[0] and momentum p[1].", arrays, arrays, 2, func(in vectors, p []VecVirtual) []VecVirtual {
			step := l.mul(p[0], in["gradient"])
			v := l.fms(p[1], in["velocity"], step)
			move := v
			if nesterov {
				move = l.fms(p[1], v, step)
			}
			return []VecVirtual{l.add(in["value"], move), v}
		})
	}
	for _, centred := range []bool{false, true} {
		for _, momentum := range []bool{false, true} {
			name, arrays := "rmsprop", []string{"value", "square"}
			if centred {
				name, arrays = name+"Centred", append(arrays, "mean")
			}
			if momentum {
				name, arrays = name+"Momentum", append(arrays, "velocity")
			}
			arrays = append(arrays, "gradient")
			l.elements(name, "makes a step of rate p[0], rho p[1], 1-rho p[2], epsilon p[3] and momentum p[4].", arrays, arrays, 5, func(in vectors, p []VecVirtual) []VecVirtual {
				g, kept := in["gradient"], l.mul(p[2], in["gradient"])
				square := l.fma(p[1], in["square"], l.mul(kept, g))
				out, d := []VecVirtual{nil, square}, square
				if centred {
					mean := l.fma(p[1], in["mean"], kept)
					out, d = append(out, mean), l.fnma(mean, mean, square)
				}
				move := l.div(l.mul(p[0], g), l.sqrt(l.add(d, p[3])))
				if momentum {
					move = l.fma(p[4], in["velocity"], move)
					out = append(out, move)
				}
				out[0] = l.sub(in["value"], move)
				return out
			})
		}
	}
	arrays := []string{"value", "m", "v", "most", "gradient"}
	l.elements("amsgrad", "makes a step of rate p[0], 1-beta1 p[1], 1-beta2 p[2] and epsilon p[3].", arrays, arrays, 4, func(in vectors, p []VecVirtual) []VecVirtual {
		g := in["gradient"]
		m := l.fma(l.sub(g, in["m"]), p[1], in["m"])
		v := l.fma(l.sub(l.mul(g, g), in["v"]), p[2], in["v"])
		most := l.max(in["most"], v)
		move := l.div(l.mul(m, p[0]), l.add(l.sqrt(most), p[3]))
		return []VecVirtual{l.sub(in["value"], move), m, v, most}
	})
	l.elements("blend", "sets dst to p[0] times dst plus p[1] times src.", []string{"dst", "src"}, []string{"dst", "src"}, 2, func(in vectors, p []VecVirtual) []VecVirtual {
		return []VecVirtual{l.fma(p[0], in["dst"], l.mul(p[1], in["src"]))}
	})
}
