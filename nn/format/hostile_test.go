package format_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/nn/format"
)

// tensorsFile is a .safetensors file of a header and zeros.
func tensorsFile(header map[string]any, data int) []byte {
	head, err := json.Marshal(header)
	if err != nil {
		panic(err)
	}
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(head)))
	return append(append(out, head...), make([]byte, data)...)
}

// architecture is a .safetensors file without arrays, of a model in Keras's JSON.
func architecture(config string) []byte {
	return tensorsFile(map[string]any{"__metadata__": map[string]string{"config": config}}, 0)
}

// sequential is a Sequential model on 4 numbers.
func sequential(layers string) string {
	return `{"class_name":"Sequential","config":{"name":"m","layers":[{"class_name":"InputLayer","config":{"batch_shape":[null,4],"name":"in"}},` + layers + `]}}`
}

// functional is a Functional model on 4 numbers.
func functional(layers, out string) string {
	return `{"class_name":"Functional","config":{"name":"m","layers":[{"class_name":"InputLayer","name":"in","config":{"batch_shape":[null,4]},
		"inbound_nodes":[]},` + layers + `],"input_layers":[["in",0,0]],"output_layers":[["` + out + `",0,0]]}}`
}

func dense(name, inbound string) string {
	return `{"class_name":"Dense","name":"` + name + `","config":{"units":4},"inbound_nodes":` + inbound + `}`
}

func zipFile(tb testing.TB, method uint16, files map[string][]byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, data := range files {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			tb.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// TestHostile wants an error that says what is wrong, and little memory, for files made to harm.
func TestHostile(t *testing.T) {
	long := binary.LittleEndian.AppendUint64(nil, 1<<62)
	deep := strings.Repeat("[", 9000) + strings.Repeat("]", 9000)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"header longer than the file": {append(binary.LittleEndian.AppendUint64(nil, 1<<20), '{', '}'), "unexpected EOF"},
		"header of 2^62 bytes":        {append(long, '{', '}'), "unknown model format"},
		"array outside": {tensorsFile(map[string]any{"a": map[string]any{
			"dtype": "F32",
			"shape": []int{2}, "data_offsets": []int{0, 8},
		}}, 4), `array "a"`},
		"array at a negative place": {tensorsFile(map[string]any{"a": map[string]any{
			"dtype": "F32",
			"shape": []int{2}, "data_offsets": []int{-8, 0},
		}}, 0), `array "a"`},
		"arrays that overlap": {tensorsFile(map[string]any{
			"a": map[string]any{"dtype": "F32", "shape": []int{1}, "data_offsets": []int{0, 4}},
			"b": map[string]any{"dtype": "F32", "shape": []int{1}, "data_offsets": []int{0, 4}},
		}, 4), `array "b"`},
		"bytes left over": {tensorsFile(map[string]any{}, 4), "got 4 bytes of data"},
		"no architecture": {tensorsFile(map[string]any{}, 0), "no architecture"},
		"no layers":       {architecture(`{"class_name":"Sequential","config":{"name":"m","layers":[]}}`), "got 0 layers"},
		"another kind": {architecture(strings.Replace(sequential(dense("d", "[]")), "Sequential", "Graph",
			1)), `class "Graph"`},
		"parameters for free": {architecture(sequential(`{"class_name":"Dense","config":{"name":"huge","units":1000000}}`)), `layer "huge" (Dense): its parameters`},
		"a kernel of 2^40":    {architecture(sequential(`{"class_name":"Dense","config":{"name":"huge","units":1099511627776}}`)), `layer "huge" (Dense)`},
		"an input of 2^60": {architecture(
			`{"class_name":"Sequential","config":{"name":"m","layers":[{"class_name":"InputLayer","config":{"batch_shape":[null,1048576,1048576,1048576],"name":"in"}},` +
				dense("d", "[]") + `]}}`,
		), `layer "in" (InputLayer): axis 2`},
		"an open input": {architecture(
			`{"class_name":"Sequential","config":{"name":"m","layers":[{"class_name":"InputLayer","config":{"batch_shape":[null,null,4],"name":"in"}},` + dense("d", "[]") + `]}}`,
		), "the size of the input is not fixed"},
		"an unknown layer": {
			architecture(sequential(`{"class_name":"LSTM","config":{"name":"memory"}}`)),
			`layer "memory": class "LSTM"`,
		},
		"a custom layer": {
			architecture(sequential(`{"class_name":"Dense","registered_name":"mine>Dense","config":{"name":"d","units":1}}`)),
			`registered as "mine>Dense"`,
		},
		"a Lambda": {
			architecture(sequential(`{"class_name":"Lambda","config":{"name":"code","function":["4wEA",null,null]}}`)),
			`layer "code": class "Lambda"`,
		},
		"an unknown attribute": {
			architecture(sequential(`{"class_name":"Dense","config":{"name":"d","units":1,"colour":"red"}}`)),
			`layer "d" (Dense): attributes ["colour"]`,
		},
		"a config of null": {architecture(sequential(`{"class_name":"Dense","config":null}`)), "Dense"},
		"deep lists": {
			architecture(functional(dense("d", `[{"args":`+deep+`}]`), "d")),
			`layer "d" (Dense): attribute inbound_nodes has lists`,
		},
		"a cycle": {architecture(functional(dense("a", `[[["b",0,0,{}]]]`)+","+dense("b",
			`[[["a",0,0,{}]]]`), "b")), "reads its own output"},
		"a layer that is not there": {
			architecture(functional(dense("a", `[[["ghost",0,0,{}]]]`), "a")),
			`layer "ghost" is referenced but not in the file`,
		},
		"a use that is not there": {architecture(functional(dense("a", `[[["b",1,0,{}]]]`)+","+dense("b",
			`[[["in",0,0,{}]]]`), "a")), "1 calls, but call 1 is referenced"},
		"a use below zero": {
			architecture(functional(dense("a", `[[["in",-1,0,{}]]]`), "a")),
			"the reference [in -1 0",
		},
		"a second output": {
			architecture(functional(dense("a", `[[["in",0,1,{}]]]`), "a")),
			`output 1 of "in" is referenced, but it has 1`,
		},
		"two layers of one name": {architecture(functional(dense("a", `[[["in",0,0,{}]]]`)+","+dense("a",
			`[[["in",0,0,{}]]]`), "a")), `two layers are named "a"`},
		"an archive without model": {zipFile(t, zip.Store, map[string][]byte{"x": nil}), "config.json is missing"},
		"an archive without weights": {
			zipFile(t, zip.Store, map[string][]byte{"config.json": []byte(sequential(dense("d", "[]")))}),
			"model.weights.h5 is missing",
		},
		"a bomb for config": {
			zipFile(t, zip.Deflate, map[string][]byte{"config.json": make([]byte, 32<<20)}),
			"config.json takes 33554432 bytes",
		},
		"a bomb for weights": {zipFile(t, zip.Deflate,
			map[string][]byte{"config.json": nil, "model.weights.h5": make([]byte, 80<<20)}), "model.weights.h5 takes"},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := format.Decode(t.Context(), c.data)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want %q", err, c.want)
			}
			if spent := after.TotalAlloc - before.TotalAlloc; spent > 64<<20 {
				t.Errorf("allocated %d bytes", spent)
			}
		})
	}
	// A file that names an entry twice.
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := range 2 {
		w, err := z.Create("config.json")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(w, i)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := format.Decode(t.Context(), b.Bytes()); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("two entries of one name: got %v", err)
	}
}
