//go:build unix

package integration

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// TestKilledTrainingIsTheUnbrokenOne kills train with SIGKILL at random moments and resumes it, each time with
// another number of threads: the model, the history and the best model are those of a training that was left alone,
// byte for byte.
func TestKilledTrainingIsTheUnbrokenOne(t *testing.T) {
	slow(t)
	needHDF5(t)
	for name, flags := range map[string][]string{
		"tutorial": nil,
		"all that has state": {
			"--optimizer", "adamw", "--weight-decay", "0.01", "--ema", "0.95", "--schedule", "plateau",
			"--patience", "9", "--monitor", "loss",
			"--clip-global-norm", "1", "--class-weight", "balanced", "--split", "pairs",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.digits("d.h5", 200, 1, "--augment")
			args := func(out, threads string, more ...string) []string {
				all := append([]string{
					"train", "d.h5", "--seed", "4", "--epochs", "12", "--batch-size", "32", "--checkpoint-steps",
					"2", "--threads", threads,
					"--out", out + ".safetensors", "--history", out + ".csv", "--best", out + "-best.safetensors",
				}, flags...)
				return append(all, more...)
			}
			w.do(0, args("whole", "2")...)

			r := rand.New(rand.NewPCG(5, uint64(len(flags))))
			const kills = 5
			for kill := range kills {
				before := modified(w.path("broken.safetensors.checkpoint"))
				p := w.start(args("broken", strconv.Itoa(kill%3+1), "--resume")...)
				p.until(t, "a new checkpoint",
					func() bool { return modified(w.path("broken.safetensors.checkpoint")).After(before) })
				time.Sleep(time.Duration(r.IntN(60)) * time.Millisecond)
				if p.ended() {
					t.Fatalf("training was over before kill %d of %d: the scenario needs more epochs", kill+1, kills)
				}
				p.kill()
			}
			w.do(0, args("broken", "3", "--resume")...)
			for _, file := range []string{".safetensors", ".csv", "-best.safetensors"} {
				whole, broken := must(os.ReadFile(w.path("whole"+file)))(t), must(os.ReadFile(w.path("broken"+file)))(t)
				if !bytes.Equal(whole, broken) {
					t.Errorf("%s: the file of the killed training is another one", file)
				}
			}
			// What is done stays done, and what is another training is refused.
			w.do(0, args("broken", "1", "--resume")...)
			if !bytes.Equal(must(os.ReadFile(w.path("whole.safetensors")))(t),
				must(os.ReadFile(w.path("broken.safetensors")))(t)) {
				t.Error("resuming a training that is over changes the model")
			}
			w.do(1, args("broken", "1", "--resume", "--batch-size", "16")...).says(t, "batch size",
				"the checkpoint has 32, this run has 16")
			w.digits("d.h5", 200, 2, "--augment")
			w.do(1, args("broken", "1", "--resume")...).says(t, "data: the checkpoint has")
		})
	}
}

// modified is when a file was last changed; zero where there is none.
func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// TestTrainingBeyondTheMemory trains on rows that need several times the memory limit: the process stays small, the
// result does not depend on the number of threads, and a kill does not change it.
func TestTrainingBeyondTheMemory(t *testing.T) {
	slow(t)
	needHDF5(t)
	const rows, side = 1600, 32 // 50 MiB of voxels
	w := newWorld(t)
	w.digits("d.h5", rows, 1, "--layout", "clouds")
	args := func(out string, more ...string) []string {
		return append([]string{
			"train", "d.h5", "--grid", strconv.Itoa(side), "--arch", "voxnet", "--epochs", "1", "--batch-size",
			"16", "--validation-split", "0", "--seed", "1",
			"--out", out + ".safetensors", "--json",
		}, more...)
	}
	peak := func(p *process) int {
		most := p.peak(t)
		p.wait(t, 0)
		return most
	}
	all := peak(w.start(args("all")...))
	limited := w.start(args("small", "--memory-limit", "4MiB")...)
	small := peak(limited)
	limited.says(t, "shuffling in blocks")
	t.Logf("peak memory: %d bytes with all rows in memory, %d with 4 MiB for them", all, small)
	if want := all - rows*side*side*side/2; all != 0 && small > want {
		t.Errorf("peak memory: found %d bytes, want at most %d", small, want)
	}
	first := must(os.ReadFile(w.path("small.safetensors")))(t)
	p := w.start(args("broken", "--memory-limit", "4MiB", "--checkpoint-steps", "1")...)
	p.until(t, "a checkpoint", func() bool { return !modified(w.path("broken.safetensors.checkpoint")).IsZero() })
	p.kill()
	w.do(0, args("broken", "--memory-limit", "4MiB", "--resume", "--threads", "1")...)
	if !bytes.Equal(first, must(os.ReadFile(w.path("broken.safetensors")))(t)) {
		t.Error("the killed training made another model")
	}
	w.do(1, args("broken", "--memory-limit", "3MiB", "--resume")...).says(t, "memory for rows")
}

// TestTrainingFromTheTopic kills a training on what the topic holds, lets the topic grow, and resumes it: it goes on
// with what the topic held.
func TestTrainingFromTheTopic(t *testing.T) {
	slow(t)
	needHDF5(t)
	w := newWorld(t)
	w.broker()
	w.do(0, "ingest", "-q", w.digits("a.h5", 150, 1), w.digits("b.h5", 150, 2))
	args := func(out string, more ...string) []string {
		return append([]string{
			"train", "--from-topic", "--epochs", "8", "--batch-size", "16", "--checkpoint-steps", "1", "--seed",
			"2", "--out", out + ".safetensors", "--json",
		}, more...)
	}
	w.do(0, args("whole")...)
	p := w.start(args("broken")...)
	p.until(t, "a checkpoint", func() bool { return !modified(w.path("broken.safetensors.checkpoint")).IsZero() })
	p.kill()
	w.do(0, "ingest", "-q", w.digits("c.h5", 50, 3))
	w.do(0, args("broken", "--resume", "--threads", "1")...)
	if !bytes.Equal(must(os.ReadFile(w.path("whole.safetensors")))(t),
		must(os.ReadFile(w.path("broken.safetensors")))(t)) {
		t.Error("the killed training made another model")
	}
}

// TestFollowingTheTopic kills a training that takes each volume of the topic once, several times: no volume is left
// out or repeated, or the model would be another one than that of the unbroken training. Messages hold several
// volumes, so that steps end within messages.
func TestFollowingTheTopic(t *testing.T) {
	slow(t)
	needHDF5(t)
	w := newWorld(t)
	w.broker()
	w.set("pipeline.batch", 7)
	w.do(0, "ingest", "-q", w.digits("a.h5", 250, 1), w.digits("b.h5", 250, 2), w.digits("c.h5", 250, 3))
	args := func(out string, more ...string) []string {
		return append([]string{
			"train", "--from-topic", "--follow", "--classes", "10", "--epochs", "3", "--steps-per-epoch", "15",
			"--batch-size", "16", "--checkpoint-steps", "1",
			"--seed", "2", "--out", out + ".safetensors", "--history", out + ".csv",
		}, more...)
	}
	w.do(0, args("whole")...)
	for kill := range 3 {
		before := modified(w.path("broken.safetensors.checkpoint"))
		p := w.start(args("broken", "--resume", "--threads", strconv.Itoa(kill+1))...)
		p.throttle()
		p.until(t, "a new checkpoint",
			func() bool { return modified(w.path("broken.safetensors.checkpoint")).After(before) })
		time.Sleep(time.Duration(50*kill) * time.Millisecond)
		if p.ended() {
			t.Fatalf("training was over before kill %d", kill+1)
		}
		p.kill()
	}
	w.do(0, args("broken", "--resume")...)
	for _, file := range []string{".safetensors", ".csv"} {
		if !bytes.Equal(must(os.ReadFile(w.path("whole"+file)))(t), must(os.ReadFile(w.path("broken"+file)))(t)) {
			t.Errorf("%s: the killed training made another one", file)
		}
	}
	// More than there is waits for more, until it is asked to end; then it goes on from there.
	before := modified(w.path("broken.safetensors.checkpoint"))
	p := w.start(args("broken", "--resume", "--epochs", "4")...)
	p.until(t, "the last whole step",
		func() bool { return modified(w.path("broken.safetensors.checkpoint")).After(before) })
	p.terminate(t)
	p.wait(t, exitTerminated)
	w.do(0, "ingest", "-q", w.digits("d.h5", 250, 4))
	w.do(0, args("broken", "--resume", "--epochs", "4")...)
	if n := lines(w.path("broken.csv")); n != 5 {
		t.Errorf("the history has %d lines, want 5", n)
	}
}
