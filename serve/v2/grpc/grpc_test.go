package grpc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/voxelstream/voxelstream/internal/testenv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/zoo"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/models"
	"github.com/voxelstream/voxelstream/serve/v2/grpc/inference"
)

// network builds the tutorial's network for volumes of 16x16x16 cells with random parameters.
func network(t *testing.T) *nn.Model {
	t.Helper()
	m, err := zoo.New("tutorial", nn.Shape{16, 16, 16, 3}, 10)
	if err != nil {
		t.Fatal(err)
	}
	m.Init(1)
	return m
}

// start serves the model "digits" until the test ends and returns a client.
func start(t *testing.T, m *nn.Model, o Options) (inference.GRPCInferenceServiceClient, *grpc.ClientConn) {
	t.Helper()
	settings := models.NewSettings()
	settings.Timeout = testenv.Patience
	o.Models = models.New(models.Options{
		Settings: settings, Files: []string{"digits="},
		Load: func(context.Context, string) (*nn.Model, record.Model, error) {
			digest := sha256.Sum256([]byte("digits"))
			return m, record.Model{Name: "digits", Version: "1", Digest: hex.EncodeToString(digest[:])}, nil
		},
	})
	if err := o.Models.LoadAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = 1 << 20
	}
	o.Version = "test"
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(o)
	var served sync.WaitGroup
	served.Go(func() {
		if err := s.Serve(l); err != nil {
			t.Error(err)
		}
	})
	c, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		s.Stop(context.Background())
		served.Wait()
		if err := o.Models.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return inference.NewGRPCInferenceServiceClient(c), c
}

// row returns a row of the model's input.
func row(m *nn.Model, seed int) []float32 {
	x := make([]float32, m.Inputs()[0].Shape.Size())
	for i := range x {
		x[i] = float32((i*7+seed)%11) / 10
	}
	return x
}

// forward returns what the model itself computes for a row, with a plan for as many rows as that of the server: the
// operations, and so the last bits, depend on the size.
func forward(t *testing.T, m *nn.Model, x []float32) []float32 {
	t.Helper()
	p, err := m.Compile(models.NewSettings().Batch, nn.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	copy(p.Input(0), x)
	if err := p.Forward(1, false, 0); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(p.Output(0))
}

var unload = &inference.RepositoryModelUnloadRequest{ModelName: "digits"}

// infer returns a request with one row in typed contents.
func infer(m *nn.Model, x []float32) *inference.ModelInferRequest {
	shape := []int64{1}
	for _, d := range m.Inputs()[0].Shape {
		shape = append(shape, int64(d))
	}
	return &inference.ModelInferRequest{
		ModelName: "digits", Id: "a",
		Inputs: []*inference.ModelInferRequest_InferInputTensor{{
			Name: m.Inputs()[0].Name(), Datatype: "FP32", Shape: shape,
			Contents: &inference.InferTensorContents{Fp32Contents: x},
		}},
	}
}

// raw moves the tensors of a request to raw_input_contents.
func raw(t *testing.T, r *inference.ModelInferRequest) *inference.ModelInferRequest {
	t.Helper()
	for _, in := range r.Inputs {
		data, err := contents(in)
		if err != nil {
			t.Fatal(err)
		}
		in.Contents, r.RawInputContents = nil, append(r.RawInputContents, data)
	}
	return r
}

func TestInfer(t *testing.T) {
	m := network(t)
	c, _ := start(t, m, Options{})
	x := row(m, 1)
	want := forward(t, m, x)
	got, err := c.ModelInfer(t.Context(), infer(m, x))
	if err != nil {
		t.Fatal(err)
	}
	if y := got.Outputs[0].GetContents().GetFp32Contents(); !slices.Equal(y, want) || len(got.RawOutputContents) > 0 {
		t.Errorf("typed contents: found %v, want %v", got, want)
	}
	if got.Id != "a" || got.ModelName != "digits" || got.ModelVersion != "1" {
		t.Errorf("found response %q of %s version %s", got.Id, got.ModelName, got.ModelVersion)
	}
	got, err = c.ModelInfer(t.Context(), raw(t, infer(m, x)))
	if err != nil {
		t.Fatal(err)
	}
	if y := floats(got.RawOutputContents[0]); !slices.Equal(y, want) || got.Outputs[0].Contents != nil {
		t.Errorf("raw contents: found %v, want %v", got, want)
	}
	if got := got.Outputs[0]; got.Datatype != "FP32" || !slices.Equal(got.Shape, []int64{1, 10}) {
		t.Errorf("found output %v", got)
	}
}

// TestClassification requests the classes with the highest scores instead of an output.
func TestClassification(t *testing.T) {
	m := network(t)
	c, _ := start(t, m, Options{})
	x := row(m, 1)
	want := forward(t, m, x)
	best := slices.Index(want, slices.Max(want))
	r := infer(m, x)
	r.Outputs = []*inference.ModelInferRequest_InferRequestedOutputTensor{{
		Name: m.Outputs()[0].Name(),
		Parameters: map[string]*inference.InferParameter{
			"classification": {ParameterChoice: &inference.InferParameter_Int64Param{Int64Param: 2}},
		},
	}}
	got, err := c.ModelInfer(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	texts := got.Outputs[0].GetContents().GetBytesContents()
	if text := fmt.Sprintf("%f:%d", want[best], best); len(texts) != 2 || string(texts[0]) != text {
		t.Errorf("found %q, want %s first", texts, text)
	}
	if got, err = c.ModelInfer(t.Context(), raw(t, r)); err != nil {
		t.Fatal(err)
	}
	if o := got.Outputs[0]; o.Datatype != "BYTES" || !slices.Equal(o.Shape, []int64{1, 2}) ||
		!bytes.Contains(got.RawOutputContents[0], texts[1]) {
		t.Errorf("raw: found %v", got)
	}
}

func TestStream(t *testing.T) {
	m := network(t)
	c, _ := start(t, m, Options{})
	s, err := c.ModelStreamInfer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const n = 100
	go func() {
		for i := range n {
			r := infer(m, row(m, i))
			r.Parameters = map[string]*inference.InferParameter{
				emptyFinal: {ParameterChoice: &inference.InferParameter_BoolParam{BoolParam: i == 3}},
			}
			if i == 50 {
				r.ModelName = "other"
			}
			if s.Send(r) != nil {
				return // Recv has the error
			}
		}
		_ = s.CloseSend()
	}()
	for i := range n {
		got, err := s.Recv()
		if err != nil {
			t.Fatal(i, err)
		}
		if i == 50 {
			if got.ErrorMessage == "" {
				t.Error("an unknown model gave no error")
			}
			continue
		}
		want := forward(t, m, row(m, i))
		if y := got.InferResponse.GetOutputs()[0].GetContents().GetFp32Contents(); !slices.Equal(y, want) {
			t.Fatalf("response %d: found %v (%s), want %v", i, y, got.ErrorMessage, want)
		}
		if final := got.InferResponse.Parameters["triton_final_response"].GetBoolParam(); final != (i == 3) {
			t.Errorf("response %d: found triton_final_response %v", i, final)
		}
	}
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("found %v after the last response, want EOF", err)
	}
}

func TestDescriptions(t *testing.T) {
	m := network(t)
	c, conn := start(t, m, Options{Control: true})
	ctx := t.Context()
	if live, err := c.ServerLive(ctx, &inference.ServerLiveRequest{}); err != nil || !live.Live {
		t.Error(live, err)
	}
	if ready, err := c.ServerReady(ctx, &inference.ServerReadyRequest{}); err != nil || !ready.Ready {
		t.Error(ready, err)
	}
	h, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil || h.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Error(h, err)
	}
	if s, err := c.ServerMetadata(ctx, &inference.ServerMetadataRequest{}); err != nil || s.Version != "test" {
		t.Error(s, err)
	}
	d, err := c.ModelMetadata(ctx, &inference.ModelMetadataRequest{Name: "digits"})
	if err != nil || len(d.Inputs) != 1 || !slices.Equal(d.Inputs[0].Shape, []int64{-1, 16, 16, 16, 3}) ||
		!slices.Equal(d.Outputs[0].Shape, []int64{-1, 10}) || !slices.Equal(d.Versions, []string{"1"}) {
		t.Error(d, err)
	}
	config, err := c.ModelConfig(ctx, &inference.ModelConfigRequest{Name: "digits", Version: "1"})
	if err != nil || config.Config.MaxBatchSize < 1 ||
		!slices.Equal(config.Config.Input[0].Dims, []int64{16, 16, 16, 3}) {
		t.Error(config, err)
	}
	if _, err := c.ModelInfer(ctx, infer(m, row(m, 1))); err != nil {
		t.Error(err)
	}
	st, err := c.ModelStatistics(ctx, &inference.ModelStatisticsRequest{})
	if err != nil || len(st.ModelStats) != 1 || st.ModelStats[0].InferenceCount != 1 ||
		st.ModelStats[0].InferenceStats.Success.Ns == 0 || st.ModelStats[0].LastInference == 0 {
		t.Error(st, err)
	}
	index := func(want models.State) {
		t.Helper()
		got, err := c.RepositoryIndex(ctx, &inference.RepositoryIndexRequest{})
		if err != nil || len(got.Models) != 1 || got.Models[0].State != string(want) {
			t.Error(got, err)
		}
	}
	index(models.StateReady)
	if _, err := c.RepositoryModelUnload(ctx, unload); err != nil {
		t.Error(err)
	}
	index(models.StateUnavailable)
	if r, err := c.ModelReady(ctx, &inference.ModelReadyRequest{Name: "digits"}); err != nil || r.Ready {
		t.Error(r, err)
	}
	if _, err := c.ModelInfer(ctx, infer(m, row(m, 1))); status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
	if _, err := c.RepositoryModelLoad(ctx, &inference.RepositoryModelLoadRequest{ModelName: "digits"}); err != nil {
		t.Error(err)
	}
	if r, err := c.ModelReady(ctx, &inference.ModelReadyRequest{Name: "digits"}); err != nil || !r.Ready {
		t.Error(r, err)
	}
}

func TestErrors(t *testing.T) {
	m := network(t)
	c, _ := start(t, m, Options{})
	text := func(s string) *inference.InferParameter {
		return &inference.InferParameter{ParameterChoice: &inference.InferParameter_StringParam{StringParam: s}}
	}
	number := func(n int64) *inference.InferParameter {
		return &inference.InferParameter{ParameterChoice: &inference.InferParameter_Int64Param{Int64Param: n}}
	}
	for name, test := range map[string]struct {
		change func(*inference.ModelInferRequest)
		want   codes.Code
	}{
		"model":         {func(r *inference.ModelInferRequest) { r.ModelName = "other" }, codes.NotFound},
		"version":       {func(r *inference.ModelInferRequest) { r.ModelVersion = "2" }, codes.NotFound},
		"no input":      {func(r *inference.ModelInferRequest) { r.Inputs = nil }, codes.InvalidArgument},
		"input name":    {func(r *inference.ModelInferRequest) { r.Inputs[0].Name = "x" }, codes.InvalidArgument},
		"datatype":      {func(r *inference.ModelInferRequest) { r.Inputs[0].Datatype = "INT8" }, codes.InvalidArgument},
		"negative size": {func(r *inference.ModelInferRequest) { r.Inputs[0].Shape[0] = -1 }, codes.InvalidArgument},
		"large size":    {func(r *inference.ModelInferRequest) { r.Inputs[0].Shape[0] = math.MaxInt64 }, codes.InvalidArgument},
		"no shape":      {func(r *inference.ModelInferRequest) { r.Inputs[0].Shape = nil }, codes.InvalidArgument},
		"no contents":   {func(r *inference.ModelInferRequest) { r.Inputs[0].Contents = nil }, codes.InvalidArgument},
		"two rows":      {func(r *inference.ModelInferRequest) { r.Inputs[0].Shape[0] = 2 }, codes.InvalidArgument},
		"other contents": {func(r *inference.ModelInferRequest) {
			r.Inputs[0].Contents.IntContents = []int32{1}
		}, codes.InvalidArgument},
		"both": {func(r *inference.ModelInferRequest) { r.RawInputContents = [][]byte{{1}} }, codes.InvalidArgument},
		"raw of another number": {func(r *inference.ModelInferRequest) {
			r.Inputs[0].Contents, r.RawInputContents = nil, [][]byte{{1}, {2}}
		}, codes.InvalidArgument},
		"short raw": {func(r *inference.ModelInferRequest) {
			r.Inputs[0].Contents, r.RawInputContents = nil, [][]byte{{1}}
		}, codes.InvalidArgument},
		"output": {func(r *inference.ModelInferRequest) {
			r.Outputs = []*inference.ModelInferRequest_InferRequestedOutputTensor{{Name: "x"}}
		}, codes.InvalidArgument},
		"shared memory": {func(r *inference.ModelInferRequest) {
			r.Inputs[0].Parameters = map[string]*inference.InferParameter{"shared_memory_region": text("x")}
		}, codes.InvalidArgument},
		"timeout": {func(r *inference.ModelInferRequest) {
			r.Parameters = map[string]*inference.InferParameter{"timeout": text("1")}
		}, codes.InvalidArgument},
		"priority": {func(r *inference.ModelInferRequest) {
			r.Parameters = map[string]*inference.InferParameter{"priority": number(-1)}
		}, codes.InvalidArgument},
		"too large": {func(r *inference.ModelInferRequest) { r.Id = string(make([]byte, 2<<20)) }, codes.ResourceExhausted},
		"valid": {func(r *inference.ModelInferRequest) {
			r.Parameters = map[string]*inference.InferParameter{
				"priority": number(9), "timeout": number(math.MaxInt64 / 2000), "other": text("x"),
			}
		}, codes.OK},
	} {
		t.Run(name, func(t *testing.T) {
			r := infer(m, row(m, 1))
			test.change(r)
			if _, err := c.ModelInfer(t.Context(), r); status.Code(err) != test.want {
				t.Errorf("found %v, want %v", err, test.want)
			}
		})
	}
	if _, err := c.RepositoryModelUnload(t.Context(), &inference.RepositoryModelUnloadRequest{
		ModelName: "digits",
	}); status.Code(err) != codes.PermissionDenied {
		t.Error(err)
	}
}

// TestReasons checks that each reason has a code.
func TestReasons(t *testing.T) {
	for reason, want := range map[models.Reason]codes.Code{
		models.Invalid: codes.InvalidArgument, models.NotFound: codes.NotFound,
		models.Overloaded: codes.ResourceExhausted, models.Unavailable: codes.Unavailable,
		models.Expired: codes.DeadlineExceeded, models.Canceled: codes.Canceled, models.Failed: codes.Internal,
	} {
		if got := status.Code(statusOf(&models.Error{Reason: reason, Err: io.EOF})); got != want {
			t.Errorf("%s: found %v, want %v", reason, got, want)
		}
	}
}

func TestPushback(t *testing.T) {
	m := network(t)
	c, _ := start(t, m, Options{Control: true})
	if _, err := c.RepositoryModelUnload(t.Context(), unload); err != nil {
		t.Fatal(err)
	}
	var trailer metadata.MD
	_, err := c.ModelInfer(t.Context(), infer(m, row(m, 1)), grpc.Trailer(&trailer))
	if pause := trailer.Get("grpc-retry-pushback-ms"); status.Code(err) != codes.Unavailable ||
		!slices.Equal(pause, []string{"1000"}) {
		t.Errorf("found %v with a pushback of %v, want 1000 ms", err, pause)
	}
}

// TestNeeds: every method of the services has an entry in the list of needs.
func TestNeeds(t *testing.T) {
	n := 0
	for _, d := range []grpc.ServiceDesc{inference.GRPCInferenceService_ServiceDesc, grpc_health_v1.Health_ServiceDesc} {
		var names []string
		for _, m := range d.Methods {
			names = append(names, m.MethodName)
		}
		for _, s := range d.Streams {
			names = append(names, s.StreamName)
		}
		for _, name := range names {
			n++
			if needs["/"+d.ServiceName+"/"+name] == 0 {
				t.Errorf("%s/%s has no entry", d.ServiceName, name)
			}
		}
	}
	if n != len(needs) {
		t.Errorf("found %d methods and %d entries", n, len(needs))
	}
}

func TestToken(t *testing.T) {
	m := network(t)
	c, _ := start(t, m, Options{Control: true, Allow: func(token string, n Need) (valid, permitted bool) {
		return token == "secret" || token == "reader", token == "secret" && n != Control || n == Look
	}})
	ask := func(token string) codes.Code {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", token)
		_, err := c.ModelInfer(ctx, infer(m, row(m, 1)))
		s, serr := c.ModelStreamInfer(ctx)
		if serr == nil {
			serr = s.CloseSend()
		}
		if serr == nil {
			if _, serr = s.Recv(); errors.Is(serr, io.EOF) {
				serr = nil
			}
		}
		if status.Code(err) != status.Code(serr) {
			t.Errorf("token %q: found %v, and %v for a stream", token, err, serr)
		}
		return status.Code(err)
	}
	for token, want := range map[string]codes.Code{
		"Bearer secret": codes.OK, "Bearer reader": codes.PermissionDenied,
		"Bearer other": codes.Unauthenticated, "secret": codes.Unauthenticated,
		"": codes.Unauthenticated,
	} {
		if got := ask(token); got != want {
			t.Errorf("token %q: found %v, want %v", token, got, want)
		}
	}
	if _, err := c.ServerLive(t.Context(), &inference.ServerLiveRequest{}); err != nil {
		t.Error(err)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer secret")
	if _, err := c.RepositoryModelUnload(ctx, &inference.RepositoryModelUnloadRequest{}); status.Code(err) !=
		codes.PermissionDenied {
		t.Errorf("found %v", err)
	}
}
