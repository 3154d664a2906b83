package integration

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// faultJobs are small jobs of every kind.
var faultJobs = []faultJob{
	{
		name: "run to lines", prepare: scansAndGrids, do: runTo("out.jsonl", "out.csv"),
		results: classified("out.jsonl", "out.csv"),
	},
	{
		name: "run to compressed lines", prepare: scansAndGrids, do: runTo("out.jsonl.gz", "out.csv.zst"),
		results: classified("out.jsonl.gz", "out.csv.zst"),
	},
	{
		name: "run to tables", prepare: scansAndGrids, do: runTo("out.parquet", "out.arrow", "out.h5"),
		results: classified("out.parquet", "out.arrow", "out.h5"),
	},
	{name: "run to SQLite", prepare: scansAndGrids, do: runTo("out.sqlite"), results: classified("out.sqlite")},
	{name: "ingest and classify", prepare: scansAndGrids, do: commands(
		[]string{"ingest", "in"},
		[]string{"classify", "--once", "--out", "out.jsonl"},
	), results: classified("out.jsonl")},
	{name: "convert", prepare: scansAndGrids, do: commands(
		[]string{"convert", "in/d.h5", "a.npz", "--force"},
		[]string{"convert", "in/a.npz", "b.h5", "--force"},
		[]string{"convert", "in/s.pcd", "s.ply", "--force"},
		[]string{"voxelize", "in/s.pcd", "--out", "s.npy", "--force"},
		[]string{"voxelize", "in/s.pcd", "--out", "s.arrow", "--force"},
		[]string{"generate", "--count", "3", "--seed", "5", "--out", "g.h5", "--force"},
	), results: bytesOf("a.npz", "b.h5", "s.ply", "s.npy", "s.arrow", "g.h5")},
	{name: "reprocess", prepare: scansAndGrids, do: func(a *attempt) {
		args := []string{
			"reprocess", "in", "--out", "out", "--shard-rows", "2", "--format", "parquet", "--format", "sqlite",
		}
		if a.again {
			args = append(args, "--resume")
			// A job that had not begun cannot be resumed.
			if _, err := os.Stat(a.path("out/manifest.json")); err != nil {
				args = args[:len(args)-1]
			}
		}
		a.run(args...)
	}, results: func(w *world) map[string]string {
		return map[string]string{
			"parquet": w.classifications("out/classifications.parquet"),
			"sqlite":  w.classifications("out/classifications.sqlite"),
		}
	}},
	{name: "train", prepare: func(w *world) {
		w.digits("d.h5", 20, 1)
	}, do: commands([]string{
		"train", "d.h5", "--resume", "--epochs", "2", "--batch-size", "8", "--checkpoint-steps", "1", "--out",
		"m.safetensors", "--history", "h.csv", "--best", "b.keras", "--seed", "1",
	}), results: bytesOf("m.safetensors", "h.csv", "b.keras")},
	{name: "models", prepare: func(w *world) {
		w.write("m.keras", must(os.ReadFile(must(smallModel())(w.t)))(w.t))
		w.write("s.pcd", scan(1))
	}, do: commands(
		[]string{"model", "convert", "m.keras", "m.onnx", "--force"},
		[]string{"model", "convert", "m.onnx", "m.safetensors", "--force"},
		[]string{"model", "convert", "m.safetensors", "m.h5", "--force"},
		[]string{"model", "labels", "m.safetensors", "a,b,c,d,e,f,g,h,i,j", "--out", "n.safetensors", "--force"},
		[]string{"model", "summary", "m.h5"},
	), results: bytesOf("m.onnx", "m.safetensors", "n.safetensors")},
	{name: "dead letters", prepare: func(w *world) {
		w.digits("d.h5", 3, 1)
		other := w.digits("other.h5", 20, 5, "--grid", "12")
		w.do(0, "train", other, "--grid", "12", "--epochs", "1", "--out", "other.safetensors", "-q")
		w.do(0, "ingest", "d.h5", "-q")
		w.do(exitDeadLetters, "classify", "--once", "--model", "other.safetensors", "-q")
	}, do: commands(
		[]string{"dlq", "list"},
		[]string{"dlq", "replay"},
		[]string{"classify", "--once", "--out", "out.jsonl"},
	), results: classified("out.jsonl")},
	{name: "watch", prepare: scansAndGrids, do: watchFolder, results: classified("out.jsonl", "out.sqlite")},
	{name: "push", prepare: func(w *world) {
		scansAndGrids(w)
		w.write("token", []byte("a token of the tests\n"))
	}, do: pushFolder, results: classified("out.jsonl")},
	{name: "switch models", prepare: twoModels, do: switchModels, results: classified("out.jsonl")},
	{name: "reload a model", prepare: twoModels, do: reloadModel, results: func(w *world) map[string]string {
		return w.content("served")
	}},
}

// scansAndGrids makes a folder of inputs.
func scansAndGrids(w *world) {
	must(0, os.Mkdir(w.path("in"), 0o700))(w.t)
	w.digits("in/d.h5", 3, 1)
	w.digits("in/a.npz", 2, 2)
	w.write("in/s.pcd", scan(1))
}

// scan is a file of points.
func scan(seed int) []byte {
	const points = 20
	text := fmt.Sprintf("VERSION .7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH %d\nHEIGHT 1\n"+
		"POINTS %[1]d\nDATA ascii\n", points)
	for i := range points {
		text += fmt.Sprintf("%d %d %d\n", i, i*i%7, i*seed%11)
	}
	return []byte(text)
}

// commands does a job that consists of commands.
func commands(lines ...[]string) func(a *attempt) {
	return func(a *attempt) {
		for _, args := range lines {
			a.run(args...)
		}
	}
}

// runTo classifies the folder into some files.
func runTo(outs ...string) func(a *attempt) {
	args := []string{"run", "in"}
	for _, out := range outs {
		args = append(args, "--out", out)
	}
	return commands(args)
}

// classified describes files of classifications and the topics.
func classified(outs ...string) func(w *world) map[string]string {
	return func(w *world) map[string]string {
		results := map[string]string{}
		for _, out := range outs {
			results[out] = w.classifications(out)
		}
		results["topic"], results[deadLetters] = w.onTopics()
		return results
	}
}

// bytesOf describes files byte by byte.
func bytesOf(names ...string) func(w *world) map[string]string {
	return func(w *world) map[string]string { return w.content(names...) }
}

// watchFolder lets run watch the folder, into which a last file is renamed while it works.
func watchFolder(a *attempt) {
	p := a.launch("run", "watch://in?settle=20ms&poll=50ms", "--out", "out.jsonl", "--out", "out.sqlite")
	if !a.until(p, "its begin", func() bool { return strings.Contains(p.stderr.String(), "watching") }) {
		return
	}
	if _, err := os.Stat(a.path("in/late.pcd")); err != nil {
		a.write("in/late.tmp", scan(3))
		must(0, os.Rename(a.path("in/late.tmp"), a.path("in/late.pcd")))(a.t)
	}
	if a.until(p, "classifications of all files", func() bool { return lines(a.path("out.jsonl")) == 7 }) &&
		a.until(p, "record of all files", func() bool { return lines(a.path("in/.voxelstream-watch")) == 4 }) {
		p.terminate(a.t)
		a.finish(p)
	}
}

var pushAddress = regexp.MustCompile(`address=(http://[^ /]+/v1/ingest/)`)

// pushFolder posts each file of the folder until it is stored.
func pushFolder(a *attempt) {
	p := a.launch("run", "http://127.0.0.1:0?token-file=token", "--out", "out.jsonl")
	var address []string
	if !a.until(p, "its address", func() bool {
		address = pushAddress.FindStringSubmatch(p.stderr.String())
		return address != nil
	}) {
		return
	}
	for _, e := range must(os.ReadDir(a.path("in")))(a.t) {
		if !a.until(p, "the storing of "+e.Name(), func() bool {
			f := must(os.Open(a.path("in/" + e.Name())))(a.t)
			r := must(http.NewRequestWithContext(a.t.Context(), http.MethodPost, address[1]+e.Name(), f))(a.t)
			r.Header.Set("Authorization", "Bearer a token of the tests")
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				return false // it may have ended
			}
			defer answer.Body.Close() //nolint:errcheck // read to its end
			text, _ := io.ReadAll(answer.Body)
			if answer.StatusCode >= 400 && answer.StatusCode < 500 && answer.StatusCode != http.StatusTooManyRequests {
				a.t.Errorf("%s was refused for good: %d %s", e.Name(), answer.StatusCode, text)
				return true
			}
			return answer.StatusCode == http.StatusOK
		}) {
			return
		}
	}
	if a.until(p, "classifications of all files", func() bool { return lines(a.path("out.jsonl")) == 6 }) {
		p.terminate(a.t)
		a.finish(p)
	}
}

// twoModels makes two models for the same volumes.
func twoModels(w *world) {
	scansAndGrids(w)
	must(0, os.Mkdir(w.path("models"), 0o700))(w.t)
	w.write("models/a.keras", must(os.ReadFile(must(smallModel())(w.t)))(w.t))
	w.do(0, "model", "labels", "models/a.keras", "a,b,c,d,e,f,g,h,i,j", "--out", "models/b.keras")
}

// ask asks an HTTP listener, of a process that may have ended, until it answers with status 200.
func (a *attempt) ask(p *process, method, url, body string, enough func(answer string) bool) bool {
	a.t.Helper()
	return a.until(p, "answer to "+url, func() bool {
		r := must(http.NewRequestWithContext(a.t.Context(), method, url, strings.NewReader(body)))(a.t)
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return false
		}
		defer answer.Body.Close() //nolint:errcheck // read to its end
		text, _ := io.ReadAll(answer.Body)
		return answer.StatusCode == http.StatusOK && enough(string(text))
	})
}

func (a *attempt) address(p *process) (address string, ok bool) {
	ok = a.until(p, "its address", func() bool {
		m := listening.FindStringSubmatch(p.stderr.String())
		if m != nil {
			address = "http://" + m[1]
		}
		return m != nil
	})
	return address, ok
}

// switchModels switches from one model to the other before it classifies.
func switchModels(a *attempt) {
	must(0, os.MkdirAll(a.path("later"), 0o700))(a.t)
	p := a.launch("run", "watch://later?settle=20ms&poll=50ms", "--model", "models/a.keras", "--model-folder", "models",
		"--http", "127.0.0.1:0", "--out", "out.jsonl")
	address, ok := a.address(p)
	if !ok || !a.ask(p, http.MethodPost, address+"/api/models/switch", `{"name": "b"}`, func(string) bool { return true }) {
		return
	}
	if _, err := os.Stat(a.path("later/s.pcd")); err != nil {
		a.write("later/s.tmp", scan(1))
		must(0, os.Rename(a.path("later/s.tmp"), a.path("later/s.pcd")))(a.t)
	}
	if a.until(p, "classifications of all files", func() bool { return lines(a.path("out.jsonl")) == 1 }) &&
		a.until(p, "record of all files", func() bool { return lines(a.path("later/.voxelstream-watch")) == 1 }) {
		p.terminate(a.t)
		a.finish(p)
	}
}

// reloadModel replaces the model of a server.
func reloadModel(a *attempt) {
	replace := func(from string, changed time.Time) {
		a.write("models/c.tmp", must(os.ReadFile(a.path(from)))(a.t))
		must(0, os.Chtimes(a.path("models/c.tmp"), changed, changed))(a.t)
		must(0, os.Rename(a.path("models/c.tmp"), a.path("models/c.keras")))(a.t)
	}
	began := time.Now()
	replace("models/a.keras", began)
	a.set("serve.watch", "50ms")
	p := a.launch("serve", "--http", "127.0.0.1:0", "--model", "digits=models/c.keras")
	address, ok := a.address(p)
	if !ok {
		return
	}
	var digests []string
	serves := func(different int) bool {
		return a.ask(p, http.MethodGet, address+"/api/models", "", func(answer string) bool {
			for _, m := range one[struct {
				Models []struct{ Digest, State string }
			}](a.t, answer).Models {
				if m.State == "ready" && !slices.Contains(digests, m.Digest) {
					digests = append(digests, m.Digest)
				}
			}
			return len(digests) == different
		})
	}
	if !serves(1) {
		return
	}
	replace("models/b.keras", began.Add(time.Minute))
	if serves(2) {
		a.write("served", []byte(strings.Join(digests, "\n")))
		p.terminate(a.t)
		a.finish(p)
	}
}
