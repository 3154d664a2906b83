package train

import "sort"

// ranking keeps predictions in order to rank them.
type ranking struct {
	outputs []float32
	labels  []int32
}

func (r *ranking) add(y []float32, label int32) {
	r.outputs, r.labels = append(r.outputs, y...), append(r.labels, label)
}

// score computes the area under the curve of each class as the Mann-Whitney statistic of the rows' ranks.
func (r *ranking) score(e *Evaluation) {
	rows := len(r.labels)
	width := len(r.outputs) / rows
	order := make([]int, rows)
	scored := 0
	for c := range e.PerClass {
		output := func(row int) float32 {
			if width == 1 { // class 0 is the complement of class 1
				return r.outputs[row] * float32(2*c-1)
			}
			return r.outputs[row*width+c]
		}
		for i := range order {
			order[i] = i
		}
		sort.Slice(order, func(i, j int) bool { return output(order[i]) < output(order[j]) })
		var ranks float64
		members := 0
		for lo := 0; lo < rows; {
			hi := lo
			for hi < rows && output(order[hi]) == output(order[lo]) {
				hi++
			}
			hi = max(hi, lo+1) // NaN equals nothing
			for _, row := range order[lo:hi] {
				if int(r.labels[row]) == c {
					ranks += float64(lo+1+hi) / 2 // ties share the mean of their ranks, counted from 1
					members++
				}
			}
			lo = hi
		}
		if members == 0 || members == rows {
			continue
		}
		n := float64(members)
		area := (ranks - n*(n+1)/2) / (n * float64(rows-members))
		e.PerClass[c].AUC = &area
		e.AUC += area
		scored++
	}
	e.AUC /= float64(max(1, scored))
}
