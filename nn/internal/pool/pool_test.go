package pool_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/voxelstream/voxelstream/nn/internal/pool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRunVisitsEachTaskOnce(t *testing.T) {
	for _, threads := range []int{1, 2, 5} {
		p := pool.New(threads, false)
		for _, tasks := range []int{0, 1, 2, 7, 100} {
			visits := make([]int, tasks)
			for range 20 {
				p.Run(tasks, func(worker, task int) {
					if worker < 0 || worker >= p.Threads() {
						t.Errorf("worker %d of %d", worker, p.Threads())
					}
					visits[task]++
				})
			}
			for task, n := range visits {
				if n != 20 {
					t.Errorf("threads %d: task %d of %d ran %d times in 20 runs", threads, task, tasks, n)
				}
			}
		}
		p.Close()
	}
}

func TestRunDoesNotAllocate(t *testing.T) {
	p := pool.New(2, false)
	defer p.Close()
	var sums [64]int
	job := func(_, task int) { sums[task]++ }
	if n := testing.AllocsPerRun(50, func() { p.Run(len(sums), job) }); n != 0 {
		t.Errorf("a run allocates %v times", n)
	}
}

func TestChunkCoversTheRange(t *testing.T) {
	for _, n := range []int{0, 1, 5, 16, 17, 128} {
		for _, parts := range []int{1, 3, 16} {
			next := 0
			for i := range parts {
				lo, hi := pool.Chunk(n, parts, i)
				if lo != next || hi < lo || hi-lo > n/parts+1 {
					t.Fatalf("part %d of %d of %d is [%d, %d), want it to start at %d", i, parts, n, lo, hi, next)
				}
				next = hi
			}
			if next != n {
				t.Fatalf("%d parts of %d end at %d", parts, n, next)
			}
		}
	}
}
