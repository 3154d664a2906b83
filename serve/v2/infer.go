package v2

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/voxelstream/voxelstream/internal/budget"
	"github.com/voxelstream/voxelstream/internal/unpack"
	"github.com/voxelstream/voxelstream/serve/batch"
	"github.com/voxelstream/voxelstream/serve/models"
)

// headerLength is the header that has the size of the JSON before binary tensors.
const headerLength = "Inference-Header-Content-Length"

// request is the JSON of an inference request.
type request struct {
	ID         string     `json:"id"`
	Parameters parameters `json:"parameters"`
	Inputs     []struct {
		Name       string          `json:"name"`
		Shape      []int64         `json:"shape"`
		Datatype   string          `json:"datatype"`
		Parameters parameters      `json:"parameters"`
		Data       json.RawMessage `json:"data"`
	} `json:"inputs"`
	Outputs []struct {
		Name       string     `json:"name"`
		Parameters parameters `json:"parameters"`
	} `json:"outputs"`
}

// parameters are those of a request, an input or an output. Others are ignored.
type parameters struct {
	BinarySize     *uint64 `json:"binary_data_size"`
	BinaryData     *bool   `json:"binary_data"`
	BinaryOutput   bool    `json:"binary_data_output"`
	Classification uint32  `json:"classification"`
	// Timeout is in microseconds; 0 means none.
	Timeout uint64 `json:"timeout"`
	// Priority is 1 for the highest; 0 means the default, 2.
	Priority uint64 `json:"priority"`
	Sequence any    `json:"sequence_id"`
}

// priorities converts the priority of a request.
func priorities(p uint64) batch.Priority {
	switch p {
	case 0, 2:
		return batch.Normal
	case 1:
		return batch.High
	}
	return batch.Low
}

// answerTime is the time that a client has to read the answer.
const answerTime = 30 * time.Second

func (a *API) infer(w http.ResponseWriter, r *http.Request) error {
	arrived := time.Now()
	s, err := a.model(r)
	if err != nil {
		return err
	}
	release, err := a.reserve(r)
	if err != nil {
		return err
	}
	defer release()
	account := a.o.Budget.Open(r.Context())
	defer account.Close()
	body, err := a.body(w, r, account)
	if err != nil {
		return err
	}
	q, tail, err := split(r, body)
	if err != nil {
		return err
	}
	timeout := a.o.Models.Settings().Timeout
	if q != nil && q.Parameters.Timeout > 0 && q.Parameters.Timeout < uint64(timeout/time.Microsecond) {
		timeout = time.Duration(q.Parameters.Timeout) * time.Microsecond
	}
	ctx, cancel := context.WithDeadline(r.Context(), arrived.Add(timeout))
	defer cancel()
	c := http.NewResponseController(w)
	_ = c.SetWriteDeadline(time.Now().Add(timeout + answerTime)) // a recorder in a test has none
	if q == nil {
		return inferRaw(ctx, w, s, tail)
	}
	if err := account.Take(tensorBytes * int64(len(body)-len(tail))); err != nil {
		return unread(err)
	}
	in, err := q.tensors(tail)
	if err != nil {
		return err
	}
	ask := models.Request{ID: q.ID, Inputs: in, Priority: priorities(q.Parameters.Priority)}
	for _, o := range q.Outputs {
		ask.Outputs = append(ask.Outputs, o.Name)
	}
	answer, err := s.Infer(ctx, ask)
	if err != nil {
		return err
	}
	return q.answer(w, s, answer)
}

// inferRaw answers a request whose body is the only input, without JSON. All outputs are binary.
func inferRaw(ctx context.Context, w http.ResponseWriter, s *models.Served, data []byte) error {
	in := s.Metadata().Inputs
	if len(in) != 1 {
		return fmt.Errorf("found a request without JSON for a model of %d inputs, want one input", len(in))
	}
	row := int64(4)
	for _, d := range in[0].Shape[1:] {
		row *= d
	}
	if row == 0 || len(data) == 0 || int64(len(data))%row != 0 {
		return fmt.Errorf("found %d bytes, want a multiple of %d, the size of a row", len(data), row)
	}
	t := models.Tensor{Name: in[0].Name, Type: in[0].Type, Shape: slices.Clone(in[0].Shape), Data: data}
	t.Shape[0] = int64(len(data)) / row
	answer, err := s.Infer(ctx, models.Request{Inputs: []models.Tensor{t}, Priority: batch.Normal})
	if err != nil {
		return err
	}
	return (&request{Parameters: parameters{BinaryOutput: true}}).answer(w, s, answer)
}

// reserve counts the memory for a body. Its error is temporary: there are too many requests in progress.
func (a *API) reserve(r *http.Request) (release func(), err error) {
	n := r.ContentLength
	if n < 0 || r.Header.Get("Content-Encoding") != "" {
		n = a.o.MaxBody
	}
	if n > a.o.MaxBody {
		return nil, fmt.Errorf("%w: found %d bytes, want at most %d", errTooLarge, n, a.o.MaxBody)
	}
	if a.bytes.Add(n) > a.o.MaxMemory {
		a.bytes.Add(-n)
		return nil, &models.Error{
			Reason: models.Overloaded, RetryAfter: time.Second,
			Err: errors.New("too many bytes of requests are in progress"),
		}
	}
	return func() { a.bytes.Add(-n) }, nil
}

// tensorBytes is the memory that a byte of JSON takes as a tensor: a number of 4 bytes in a slice that grows has at least
// a digit and a comma.
const tensorBytes = 4

// body reads the body of a request and decompresses it.
func (a *API) body(w http.ResponseWriter, r *http.Request, account *budget.Account) ([]byte, error) {
	var from io.Reader = http.MaxBytesReader(w, r.Body, a.o.MaxBody)
	size := int64(-1)
	var err error
	switch e := r.Header.Get("Content-Encoding"); e {
	case "", "identity":
		size = r.ContentLength
	case "gzip":
		from, err = gzip.NewReader(from)
	case "deflate":
		from, err = zlib.NewReader(from)
	default:
		return nil, fmt.Errorf("found Content-Encoding %.32q, want gzip or deflate", e)
	}
	if err != nil {
		return nil, unread(err)
	}
	data, err := unpack.ReadAll(io.LimitReader(from, a.o.MaxBody+1), size, account)
	if err != nil {
		return nil, unread(err)
	}
	if int64(len(data)) > a.o.MaxBody {
		return nil, fmt.Errorf("%w: found more than %d bytes", errTooLarge, a.o.MaxBody)
	}
	return data, nil
}

func readAll(from io.Reader) ([]byte, error) {
	data, err := io.ReadAll(from)
	if err != nil {
		return nil, unread(err)
	}
	return data, nil
}

// unread is the error of a body that cannot be read.
func unread(err error) error {
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fmt.Errorf("%w: found more than %d bytes", errTooLarge, large.Limit)
	}
	if errors.Is(err, budget.ErrLimit) {
		return fmt.Errorf("%w: %w", errTooLarge, err)
	}
	return fmt.Errorf("the body cannot be read: %w", err)
}

// split parses the JSON of a body and returns the binary data after it. A request without JSON is nil.
func split(r *http.Request, body []byte) (q *request, tail []byte, err error) {
	size := len(body)
	if text := r.Header.Get(headerLength); text != "" {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil || int(n) > len(body) {
			return nil, nil, fmt.Errorf("%s: found %.32q, want 0 to %d, the size of the body", headerLength, text,
				len(body))
		}
		if size = int(n); size == 0 {
			return nil, body, nil
		}
	}
	q = &request{}
	if err := json.Unmarshal(body[:size], q); err != nil {
		return nil, nil, fmt.Errorf("failed to parse the request JSON buffer: %w", err)
	}
	switch id := q.Parameters.Sequence.(type) {
	case nil:
	case float64:
		if id != 0 {
			return nil, nil, errors.New("sequence_id: models without state take no sequences")
		}
	case string:
		if id != "" {
			return nil, nil, errors.New("sequence_id: models without state take no sequences")
		}
	default:
		return nil, nil, errors.New("sequence_id: want a number or a string")
	}
	return q, body[size:], nil
}

// tensors returns the inputs of a request, whose binary data follow one another in tail.
func (q *request) tensors(tail []byte) ([]models.Tensor, error) {
	var out []models.Tensor
	for _, in := range q.Inputs {
		t := models.Tensor{Name: in.Name, Type: in.Datatype, Shape: in.Shape}
		size := in.Parameters.BinarySize
		var err error
		switch {
		case size != nil && in.Data != nil:
			err = errors.New("found both data and binary_data_size")
		case size != nil && *size > uint64(len(tail)):
			err = fmt.Errorf("binary_data_size: found %d, but only %d bytes are left in the body", *size, len(tail))
		case size != nil:
			t.Data, tail = tail[:*size], tail[*size:]
		case in.Data == nil:
			err = errors.New("found neither data nor binary_data_size")
		case t.Type == models.FP32: // others are refused with the type that the model expects
			t.Data, err = parseNumbers(in.Data, elements(in.Shape))
		}
		if err != nil {
			return nil, fmt.Errorf("input '%s': %w", clip(in.Name), err)
		}
		out = append(out, t)
	}
	if len(tail) > 0 {
		return nil, fmt.Errorf("found %d bytes after the last binary input", len(tail))
	}
	return out, nil
}

// elements returns the number of elements of a shape, or 0 if it is not a shape or has more than an int32 holds.
func elements(shape []int64) int {
	n := int64(1)
	for _, d := range shape {
		if d < 0 || d > math.MaxInt32 {
			return 0
		}
		if n *= d; n > math.MaxInt32 {
			return 0
		}
	}
	return int(n)
}

// parseNumbers converts valid JSON, an array of numbers or of such arrays, to little-endian float32 values, of which
// there should be n.
func parseNumbers(data []byte, n int) ([]byte, error) {
	out := make([]byte, 0, 4*min(n, len(data)/2+1)) // a number takes at least two bytes with its comma
	if data[0] != '[' {
		return nil, fmt.Errorf("data: found %.32s, want an array of numbers", data)
	}
	for i := 0; i < len(data); {
		switch c := data[i]; {
		case c == '[' || c == ']' || c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
			continue
		case c != '-' && (c < '0' || c > '9'):
			return nil, fmt.Errorf("data: found %.32s, want numbers", data[i:])
		}
		end := i
		for end < len(data) && data[end] != ',' && data[end] != ']' && data[end] > ' ' {
			end++
		}
		x, err := strconv.ParseFloat(string(data[i:end]), 32)
		if err != nil {
			return nil, fmt.Errorf("data: found %.32s, want a number in the range of FP32", data[i:end])
		}
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(float32(x)))
		i = end
	}
	if len(out) != 4*n {
		return nil, fmt.Errorf("data: found %d numbers, want %d for the shape", len(out)/4, n)
	}
	return out, nil
}

// output is an output in a response.
type output struct {
	Name       string          `json:"name"`
	Datatype   string          `json:"datatype"`
	Shape      []int64         `json:"shape"`
	Parameters map[string]int  `json:"parameters,omitempty"`
	Data       json.RawMessage `json:"data,omitempty"`
}

// answer writes a response.
func (q *request) answer(w http.ResponseWriter, s *models.Served, r models.Response) error {
	response := struct {
		Model   string   `json:"model_name"`
		Version string   `json:"model_version"`
		ID      string   `json:"id,omitempty"`
		Outputs []output `json:"outputs"`
	}{r.Model, r.Version, r.ID, []output{}}
	var tail [][]byte
	for i, t := range r.Outputs {
		asBinary, classes := q.Parameters.BinaryOutput, uint32(0)
		if i < len(q.Outputs) {
			p := q.Outputs[i].Parameters
			classes = p.Classification
			if p.BinaryData != nil {
				asBinary = *p.BinaryData
			}
		}
		texts := []string{}
		if classes > 0 {
			t, texts = TopClasses(t, int(min(classes, math.MaxInt32)), s.Metadata().Classes)
		}
		o := output{Name: t.Name, Datatype: t.Type, Shape: t.Shape}
		var err error
		switch {
		case asBinary:
			o.Parameters = map[string]int{"binary_data_size": len(t.Data)}
			tail = append(tail, t.Data)
		case classes > 0:
			o.Data, err = json.Marshal(texts)
		default:
			o.Data, err = formatNumbers(t.Data)
		}
		if err != nil {
			return fmt.Errorf("output '%s': %w", t.Name, err)
		}
		response.Outputs = append(response.Outputs, o)
	}
	var head bytes.Buffer
	if err := json.NewEncoder(&head).Encode(response); err != nil {
		return err
	}
	size := head.Len()
	w.Header().Set("Content-Type", "application/json")
	if len(tail) > 0 {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set(headerLength, strconv.Itoa(size))
		for _, data := range tail {
			size += len(data)
		}
	}
	w.Header().Set("Content-Length", strconv.Itoa(size))
	for _, data := range append([][]byte{head.Bytes()}, tail...) {
		if _, err := w.Write(data); err != nil {
			return nil //nolint:nilerr // the client is gone
		}
	}
	return nil
}

// formatNumbers formats little-endian float32 values as a JSON array, each with the fewest digits that identify it.
func formatNumbers(data []byte) ([]byte, error) {
	out := make([]byte, 0, 3*len(data))
	out = append(out, '[')
	for i := 0; i < len(data); i += 4 {
		x := float64(math.Float32frombits(binary.LittleEndian.Uint32(data[i:])))
		if x-x != 0 {
			return nil, fmt.Errorf("found %g, which JSON cannot represent: ask for binary data", x)
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendFloat(out, x, 'g', -1, 32)
	}
	return append(out, ']'), nil
}

// TopClasses converts an output to its n largest elements of each row, as texts "value:index" or "value:index:class",
// both as a list and as a tensor of type BYTES.
func TopClasses(t models.Tensor, n int, classes []string) (models.Tensor, []string) {
	rows := int(t.Shape[0])
	size := len(t.Data) / 4 / rows
	n = min(n, size)
	value := func(i int) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:])) }
	out := models.Tensor{Name: t.Name, Type: "BYTES", Shape: []int64{int64(rows), int64(n)}}
	var texts []string
	for row := range rows {
		order := make([]int, size)
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(value(row*size+b), value(row*size+a)) })
		for _, i := range order[:n] {
			text := fmt.Sprintf("%f:%d", value(row*size+i), i)
			if len(classes) == size {
				text += ":" + classes[i]
			}
			texts = append(texts, text)
			out.Data = binary.LittleEndian.AppendUint32(out.Data, uint32(len(text))) // a short text
			out.Data = append(out.Data, text...)
		}
	}
	return out, texts
}
