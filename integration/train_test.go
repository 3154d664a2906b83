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

// TestKilledTrainingIsTheUnbrokenOne kills train with SIGKILL at random moments and resumes it, each time with another number of threads: the
// model, the history and the best model are those of a training that was left alone, byte for byte.
func TestKilledTrainingIsTheUnbrokenOne(t *testing.T) {
	slow(t)
	needHDF5(t)
	for name, flags := range map[string][]string{
		"tutorial": nil,
		"all that has state": {
			"--optimizer", "adamw", "--weight-decay", "0.01", "--ema", "0.95", "--schedule", "plateau", "--patience", "9", "--monitor", "loss",
			"--clip-global-norm", "1", "--class-weight", "balanced", "--split", "pairs",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.digits("d.h5", 200, 1, "--augment")
			args := func(out, threads string, more ...string) []string {
				all := append([]string{
					"train", "d.h5", "--seed", "4", "--epochs", "12", "--batch-size", "32", "--checkpoint-steps", "2", "--threads", threads,
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
				p.until(t, "a new checkpoint", func() bool { return modified(w.path("broken.safetensors.checkpoint")).After(before) })
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
			if !bytes.Equal(must(os.ReadFile(w.path("whole.safetensors")))(t), must(os.ReadFile(w.path("broken.safetensors")))(t)) {
				t.Error("resuming a training that is over changes the model")
			}
			w.do(1, args("broken", "1", "--resume", "--batch-size", "16")...).says(t, "batch size", "the checkpoint has 32, now it is 16")
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
