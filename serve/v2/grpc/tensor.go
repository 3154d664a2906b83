package grpc

import (
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/voxelstream/voxelstream/serve/batch"
	"github.com/voxelstream/voxelstream/serve/models"
	v2 "github.com/voxelstream/voxelstream/serve/v2"
	"github.com/voxelstream/voxelstream/serve/v2/grpc/inference"
)

// typed reports whether a request has its tensors in the typed fields of its inputs. Then the response has too.
func typed(r *inference.ModelInferRequest) bool {
	return slices.ContainsFunc(r.GetInputs(), func(t *inference.ModelInferRequest_InferInputTensor) bool {
		return t.GetContents() != nil
	})
}

// requestOf converts a request. The timeout is the one in its parameters, or 0.
func requestOf(r *inference.ModelInferRequest) (out models.Request, timeout time.Duration, err error) {
	out = models.Request{ID: r.GetId(), Priority: batch.Normal}
	if timeout, err = parameters(r, &out); err != nil {
		return out, 0, err
	}
	raw := r.GetRawInputContents()
	if len(raw) > 0 && len(raw) != len(r.GetInputs()) {
		return out, 0, invalid(
			"found %d raw_input_contents, want one for each of %d inputs",
			len(raw),
			len(r.GetInputs()),
		)
	}
	for i, in := range r.GetInputs() {
		t := models.Tensor{Name: in.GetName(), Type: in.GetDatatype(), Shape: in.GetShape()}
		switch {
		case hasMemoryRegion(in.GetParameters()):
			return out, 0, invalid("input '%s': shared memory is not supported, want the data in the request", t.Name)
		case len(raw) > 0 && in.GetContents() != nil:
			return out, 0, invalid("input '%s': found contents beside raw_input_contents, want one of them", t.Name)
		case len(raw) > 0:
			t.Data = raw[i]
		default:
			if t.Data, err = contents(in); err != nil {
				return out, 0, err
			}
		}
		out.Inputs = append(out.Inputs, t)
	}
	for _, o := range r.GetOutputs() {
		if hasMemoryRegion(o.GetParameters()) {
			return out, 0, invalid("output '%s': shared memory is not supported", o.GetName())
		}
		out.Outputs = append(out.Outputs, o.GetName())
	}
	return out, timeout, nil
}

func hasMemoryRegion(p map[string]*inference.InferParameter) bool {
	return p["shared_memory_region"] != nil
}

// parameters applies the parameters of a request that this server has a meaning for: timeout in microseconds, and
// priority, where 1 is the highest and 0 the default. Others are ignored, as the protocol wants.
func parameters(r *inference.ModelInferRequest, out *models.Request) (timeout time.Duration, err error) {
	if p := r.GetParameters()["timeout"]; p != nil {
		n, ok := integer(p)
		if !ok || n < 0 || n > math.MaxInt64/int64(time.Microsecond) {
			return 0, invalid("parameter timeout: found %v, want a number of microseconds", p)
		}
		timeout = time.Duration(n) * time.Microsecond
	}
	if p := r.GetParameters()["priority"]; p != nil {
		n, ok := integer(p)
		if !ok || n < 0 {
			return 0, invalid("parameter priority: found %v, want a number from 0", p)
		}
		if n > 0 {
			out.Priority = batch.Priority(min(n-1, int64(batch.Low)))
		}
	}
	return timeout, nil
}

// integer returns the value of a parameter that is an integer.
func integer(p *inference.InferParameter) (int64, bool) {
	switch v := p.GetParameterChoice().(type) {
	case *inference.InferParameter_Int64Param:
		return v.Int64Param, true
	case *inference.InferParameter_Uint64Param:
		return int64(min(v.Uint64Param, math.MaxInt64)), true
	}
	return 0, false
}

// contents returns the bytes of the typed contents of an input.
func contents(in *inference.ModelInferRequest_InferInputTensor) ([]byte, error) {
	c := in.GetContents()
	if in.GetDatatype() != models.FP32 {
		return nil, invalid("inference input '%s' data-type is '%.32s', want '%s'", in.GetName(), in.GetDatatype(),
			models.FP32)
	}
	if n := len(c.GetBoolContents()) + len(c.GetIntContents()) + len(c.GetInt64Contents()) + len(c.GetUintContents()) +
		len(c.GetUint64Contents()) + len(c.GetFp64Contents()) + len(c.GetBytesContents()); n > 0 {
		return nil, invalid(
			"input '%s': found %d elements in contents of another type, want fp32_contents",
			in.GetName(),
			n,
		)
	}
	values := c.GetFp32Contents()
	data := make([]byte, 4*len(values))
	for i, x := range values {
		binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(x))
	}
	return data, nil
}

// responseOf converts a response. Its outputs are in the typed contents if the inputs were, else in raw contents.
func responseOf(
	r *inference.ModelInferRequest, m *models.Served, from *models.Response,
) (*inference.ModelInferResponse, error) {
	out := &inference.ModelInferResponse{ModelName: from.Model, ModelVersion: from.Version, Id: from.ID}
	typed := typed(r)
	for i, t := range from.Outputs {
		var texts []string
		if i < len(r.GetOutputs()) {
			classes, err := classesOf(r.GetOutputs()[i])
			if err != nil {
				return nil, err
			}
			if classes > 0 {
				t, texts = v2.TopClasses(t, classes, m.Metadata().Classes)
			}
		}
		o := &inference.ModelInferResponse_InferOutputTensor{Name: t.Name, Datatype: t.Type, Shape: t.Shape}
		switch {
		case !typed:
			out.RawOutputContents = append(out.RawOutputContents, t.Data)
		case texts != nil:
			o.Contents = &inference.InferTensorContents{}
			for _, text := range texts {
				o.Contents.BytesContents = append(o.Contents.BytesContents, []byte(text))
			}
		default:
			o.Contents = &inference.InferTensorContents{Fp32Contents: floats(t.Data)}
		}
		out.Outputs = append(out.Outputs, o)
	}
	return out, nil
}

// classesOf returns the number of classes that a client wants instead of an output, or 0 if it wants the output.
func classesOf(o *inference.ModelInferRequest_InferRequestedOutputTensor) (int, error) {
	p := o.GetParameters()["classification"]
	if p == nil {
		return 0, nil
	}
	n, ok := integer(p)
	if !ok || n < 0 || n > math.MaxInt32 {
		return 0, invalid("output '%s': parameter classification: found %v, want a number of classes", o.GetName(), p)
	}
	return int(n), nil
}

func floats(data []byte) []float32 {
	out := make([]float32, len(data)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return out
}
