package input

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/live/watch"
)

// files makes files of one line of points in a folder that becomes the working directory.
func files(t *testing.T, names ...string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, name := range names {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700),
			os.WriteFile(name, []byte("a token of the tests\n"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestParse(t *testing.T) {
	files(t, "a.xyz", "in/a.xyz", "-b", "http:", "token")
	for _, c := range []struct {
		text          string
		live, endless bool
		topic         string
	}{
		{text: "a.xyz"},
		{text: "in"},
		{text: "./in/a.xyz"},
		{text: "-b"},
		{text: "http:"},
		{text: "-", live: true},
		{text: "udp://:2368?sensor=vlp16", live: true, endless: true},
		{text: "udp://10.0.0.1?sensor=ouster&calibration=a.json&buffer=65536", live: true, endless: true},
		{text: "udp://:2368?sensor=vlp16&duration=10s&buffer=1MiB", live: true},
		{text: "watch://in", live: true, endless: true},
		{text: "watch://in?settle=2s&state=F", live: true, endless: true},
		{text: "http://127.0.0.1:8080?token-file=token&max=1000&queue=3", live: true, endless: true},
		{text: "http://:8080/?token-file=token&max=1GiB", live: true, endless: true},
		{text: "kafka://frames", live: true, endless: true, topic: "{frames {}}"},
		{text: "kafka://a.b-c_9?group=mine", live: true, endless: true, topic: "{a.b-c_9 {mine}}"},
	} {
		inputs, err := Parse([]string{c.text})
		if err != nil || len(inputs) != 1 {
			t.Errorf("%s: found %v, %v", c.text, inputs, err)
			continue
		}
		in := inputs[0]
		topic := ""
		if p, ok := in.Topic(); ok {
			topic = fmt.Sprint(*p)
		}
		if in.String() != c.text || in.Live() != c.live || in.Endless() != c.endless || topic != c.topic {
			t.Errorf("%s: found %v, live %v, endless %v, topic %s", c.text, in, in.Live(), in.Endless(), topic)
		}
	}
	if _, err := Parse([]string{"a.xyz", "in/a.xyz", "a.xyz"}); err != nil {
		t.Errorf("files of one name, and a file twice: found %v", err)
	}
}

// TestParseErrors wants all problems of all inputs at once.
func TestParseErrors(t *testing.T) {
	files(t, "a.xyz", "short")
	if err := os.WriteFile("short", []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Parse([]string{
		"a.xyz", "missing.pcd", "", "-", "-",
		"udp://:1?sensor=sonar&buffer=0&duration=10&calibratoin=x",
		"udp://:1?sensor=ouster",
		"watch://?setle=1s",
		"http://me:secret@host?token=secret&max=-1",
		"http://:1?token-file=short",
		"kafka://me:secret@host:9092/frames?grp=secret",
		"kafka://frames?group=a&group=b",
		"kakfa://frames?group=secret", "https://me:secret@host", "C:\\scans",
	})
	var got []string
	if err != nil {
		got = strings.Split(err.Error(), "\n")
	}
	want := []string{
		"missing.pcd: no such file or directory",
		": no such file or directory",
		"-: found this live source twice, want once",
		`udp://:1?sensor=sonar&buffer=0&duration=10&calibratoin=***: buffer: found 0, want 1B to 1GiB`,
		`udp://:1?sensor=sonar&buffer=0&duration=10&calibratoin=***: found the option "calibratoin" ` +
			`(did you mean calibration?), want sensor, calibration, buffer, from, duration`,
		`udp://:1?sensor=sonar&buffer=0&duration=10&calibratoin=***: duration: found "10", want a duration with its unit`,
		`udp://:1?sensor=sonar&buffer=0&duration=10&calibratoin=***: sensor: found "sonar", want one of velodyne`,
		"udp://:1?sensor=ouster: calibration: found none, want the sensor's metadata",
		`watch://?setle=***: found the option "setle" (did you mean settle?)`,
		"watch://?setle=***: found no folder, want watch://FOLDER",
		`http://me:***@host?token=***&max=-1: max: found "-1", want a whole number of bytes with its unit`,
		`http://me:***@host?token=***&max=-1: found the option "token"`,
		"http://me:***@host?token=***&max=-1: found no host and port",
		"http://me:***@host?token=***&max=-1: token-file: found nothing",
		"http://:1?token-file=short: token-file: short: found a token of 6 characters, want a file of 16 or more",
		`kafka://me:***@host:9092/frames?grp=***: found the option "grp" (did you mean group?), want group`,
		"kafka://me:***@host:9092/frames?grp=***: found no topic, want kafka://TOPIC",
		"kafka://frames?group=a&group=b: group: found 2 times, want once",
		"kakfa://frames?group=***: found neither a file of this name nor a known scheme (did you mean kafka?), want one " +
			"of watch, http, udp, kafka",
		"https://me:***@host: found neither a file of this name nor a known scheme (did you mean http?)",
		`C:\scans: no such file or directory`,
	}
	for i := range max(len(got), len(want)) {
		g, w := append(got, make([]string, len(want))...)[i], append(want, make([]string, len(got))...)[i]
		if !strings.HasPrefix(g, w) || w == "" {
			t.Errorf("found %q, want %q", g, w)
		}
	}
	if strings.Contains(fmt.Sprint(err), "secret") {
		t.Errorf("a secret is shown: %v", err)
	}
	if !app.IsUsage(err) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("found %v, want an error of usage", err)
	}
	if _, err := Parse([]string{"missing.pcd"}); err == nil || app.IsUsage(err) {
		t.Errorf("a missing file: found %v, want an error other than a usage error", err)
	}
}

func TestEndless(t *testing.T) {
	files(t, "a.xyz")
	for want, texts := range map[bool][]string{
		true:  {"watch://in", "kafka://frames"},
		false: {"watch://in", "a.xyz"},
	} {
		inputs, err := Parse(texts)
		if err != nil || Endless(inputs) != want || Endless(nil) {
			t.Errorf("%v: found %v, %v, want %v", texts, Endless(inputs), err, want)
		}
	}
}

func TestOpen(t *testing.T) {
	files(t, "a.xyz", "in/b.xyz")
	if err := errors.Join(os.WriteFile("a.xyz", []byte("1 2 3\n4 5 6\n"), 0o600),
		os.WriteFile("in/b.xyz", []byte("1 2 3\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	a := apptest.New(t)
	inputs, err := Parse([]string{"a.xyz", "watch://in?settle=1ms", "kafka://frames"})
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range inputs[:2] {
		src, err := in.Open(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		s, err := src.Read(t.Context())
		if _, ok := s.Data.(*ingest.PointCloud); err != nil || !ok {
			t.Errorf("%v: found %+v, %v, want points", in, s, err)
		}
		if want := s.Stream; !in.Live() && in.Stream() != want || in.Live() && in.Stream() != in.String() {
			t.Errorf("%v: found stream %s, want %s or the text of a live source", in, in.Stream(), want)
		}
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := inputs[2].Open(t.Context(), a); err == nil {
		t.Error("a topic was opened without its cluster")
	}
}

// TestDocumentation wants every kind and every option in the help and on the reference page.
func TestDocumentation(t *testing.T) {
	var page strings.Builder
	if err := WriteReference(&page); err != nil {
		t.Fatal(err)
	}
	for text, doc := range map[string]string{"help": Help(), "page": page.String()} {
		for _, want := range []string{
			"-", "watch://FOLDER", "settle", "http://HOST:PORT", "token-file", "udp://HOST:PORT",
			"buffer", "kafka://TOPIC", "group", "vlp16",
		} {
			if !strings.Contains(doc, want) {
				t.Errorf("%s: found no %s", text, want)
			}
		}
	}
	for line := range strings.Lines(Help()) {
		if len(line) > helpWidth+1 {
			t.Errorf("found a line of %d columns: %s", len(line), line)
		}
	}
}

// TestWatched: folders are watched, live sources that do not end stay as they are, and the others are refused.
func TestWatched(t *testing.T) {
	dir := t.TempDir()
	odd := filepath.Join(dir, "what?settle=1")
	file := filepath.Join(dir, "a.xyz")
	if err := errors.Join(os.Mkdir(odd, 0o700), os.WriteFile(file, []byte("0 0 0\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	parse := func(texts ...string) []Input {
		inputs, err := Parse(texts)
		if err != nil {
			t.Fatal(err)
		}
		return inputs
	}
	watched, err := Watched(parse(odd, "kafka://frames"))
	if err != nil || !Endless(watched) || watched[0].String() != "watch://"+odd ||
		watched[1].String() != "kafka://frames" {
		t.Errorf("found %v and %v", watched, err)
	}
	if in, ok := watched[0].live.(*watch.Input); !ok || in.Dir != odd || in.Settle == 0 {
		t.Errorf("found %+v, want the folder with the default options", watched[0].live)
	}
	for text, what := range map[string]string{file: "a single file", "-": "an input that ends"} {
		_, err := Watched(parse(dir, text))
		if !app.IsUsage(err) || !strings.Contains(err.Error(), text+" is "+what+"; --forever needs a folder") {
			t.Errorf("%s: found %v, want a usage error", text, err)
		}
	}
}
