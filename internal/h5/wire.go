package h5

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"unsafe"

	"github.com/voxelstream/voxelstream/internal/sandbox"
)

// The protocol between a File and its worker: requests are a length and JSON; replies are the lengths of a header and
// a payload, the header as JSON, and the payload, unless that is in the shared memory. Each end limits what it accepts
// from the other.
const (
	maxRequest = 64 << 10
	maxHead    = 64 << 20
	maxPayload = 512 << 20
)

type op string

const (
	opOpen    op = "open"
	opList    op = "list"    // the members of a group, Deep: of all groups below it
	opObject  op = "object"  // one object
	opAttrs   op = "attrs"   // the attributes of an object; with Name, that one
	opRead    op = "read"    // rows as numbers
	opStrings op = "strings" // rows as strings
	opClose   op = "close"   // closes the file; the reply counts what is still open
)

type request struct {
	Op   op     `json:"op"`
	Path string `json:"path,omitempty"`
	Name string `json:"name,omitempty"`
	As   number `json:"as,omitempty"`
	Row  int    `json:"row,omitempty"`
	Rows int    `json:"rows,omitempty"`
	Deep bool   `json:"deep,omitempty"`
	// Columns reads along the last axis rather than the first.
	Columns bool `json:"columns,omitempty"`
	// Field is the member to read of compound values.
	Field string `json:"field,omitempty"`
	// Unclosed opens a file that is marked as open for writing.
	Unclosed bool `json:"unclosed,omitempty"`
}

// number is the Go type that values are converted to.
type number string

const (
	asFloat32 number = "float32"
	asFloat64 number = "float64"
	asInt64   number = "int64"
)

func (n number) size() int {
	if n == asFloat32 {
		return 4
	}
	return 8
}

// reply is the header of an answer. Fault is empty if the request succeeded.
type reply struct {
	Fault   string     `json:"fault,omitempty"`
	Is      string     `json:"is,omitempty"`     // "missing", "refused": which error the fault wraps
	System  int        `json:"system,omitempty"` // error number of the operating system that the fault wraps
	Objects []Object   `json:"objects,omitempty"`
	Attrs   []attrHead `json:"attrs,omitempty"`
	Open    int        `json:"open,omitempty"`
	// Shared is the length of a payload at the start of the shared memory, which is valid until the next request.
	Shared int    `json:"shared,omitempty"`
	Note   string `json:"note,omitempty"` // about the file that was opened
}

// attrHead is an attribute without its values, Count of which follow in the payload.
type attrHead struct {
	Name    string `json:"name"`
	Class   Class  `json:"class"`
	Dims    []int  `json:"dims,omitempty"`
	Count   int    `json:"count,omitempty"`
	Refused string `json:"refused,omitempty"`
}

// writeRequest writes a request, and sends a file along if there is one.
func writeRequest(c *sandbox.Conn, q *request, file *os.File) error {
	body, err := encodeRequest(q)
	if err != nil {
		return err
	}
	if file != nil {
		return c.WriteFile(body, file)
	}
	_, err = c.Write(body)
	return err
}

func encodeRequest(q *request) ([]byte, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	if len(body) > maxRequest {
		return nil, fmt.Errorf("request of %d bytes, limit %d", len(body), maxRequest)
	}
	return append(nativeEndian.AppendUint32(nil, uint32(len(body))), body...), nil
}

func readRequest(r io.Reader) (*request, error) {
	var n [4]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return nil, err
	}
	size := nativeEndian.Uint32(n[:])
	if size > maxRequest {
		return nil, fmt.Errorf("request of %d bytes, limit %d", size, maxRequest)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	q := new(request)
	return q, json.Unmarshal(body, q)
}

// writeReply writes an answer. A payload in the shared memory stays there.
func writeReply(w io.Writer, p *reply, payload, shared []byte) error {
	if len(payload) > 0 && unsafe.SliceData(payload) == unsafe.SliceData(shared) {
		p.Shared, payload = len(payload), nil
	}
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if len(body) > maxHead || len(payload) > maxPayload {
		body, payload = []byte(`{"fault":"the answer is larger than the limit","is":"refused"}`), nil
	}
	head := nativeEndian.AppendUint32(nil, uint32(len(body)))
	head = nativeEndian.AppendUint32(head, uint32(len(payload)))
	if _, err := w.Write(append(head, body...)); err != nil {
		return err
	}
	if len(payload) == 0 {
		return nil
	}
	_, err = w.Write(payload)
	return err
}

// readReply reads an answer. The payload is read into dst, which must have exactly its length; if dst is nil, the
// payload is allocated as it arrives.
func readReply(r io.Reader, dst, shared []byte) (*reply, []byte, error) {
	var n [8]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return nil, nil, err
	}
	size, payload := nativeEndian.Uint32(n[:]), nativeEndian.Uint32(n[4:])
	if size > maxHead || payload > maxPayload {
		return nil, nil, fmt.Errorf("found an answer of %d and %d bytes, limits %d and %d", size, payload, maxHead, maxPayload)
	}
	body, err := readGrowing(r, int(size))
	if err != nil {
		return nil, nil, err
	}
	p := new(reply)
	if err := json.Unmarshal(body, p); err != nil {
		return nil, nil, err
	}
	if p.Shared < 0 || p.Shared > len(shared) {
		return nil, nil, fmt.Errorf("found an answer with %d shared bytes, limit %d", p.Shared, len(shared))
	}
	if p.Shared > 0 {
		payload, r = uint32(p.Shared), bytes.NewReader(shared[:p.Shared])
	}
	if dst == nil {
		dst, err = readGrowing(r, int(payload))
		return p, dst, err
	}
	if p.Fault != "" {
		return p, nil, nil
	}
	if int(payload) != len(dst) {
		return nil, nil, fmt.Errorf("found an answer with %d bytes of values, want %d", payload, len(dst))
	}
	_, err = io.ReadFull(r, dst)
	return p, dst, err
}

// readGrowing reads n bytes and allocates memory as they arrive rather than trusting n.
func readGrowing(r io.Reader, n int) ([]byte, error) {
	if n <= 1<<20 {
		b := make([]byte, n)
		_, err := io.ReadFull(r, b)
		return b, err
	}
	var b bytes.Buffer
	got, err := io.CopyN(&b, r, int64(n))
	if got < int64(n) && err == nil {
		err = io.ErrUnexpectedEOF
	}
	return b.Bytes(), err
}

// bytesOf returns the memory of v.
func bytesOf[T float32 | float64 | int32 | int64 | uint64 | uint8](v []T) []byte {
	var zero T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*int(unsafe.Sizeof(zero)))
}

// appendString adds a string to a payload; takeString removes it.
func appendString(b []byte, s string) []byte {
	return append(nativeEndian.AppendUint32(b, uint32(len(s))), s...)
}

func takeString(b []byte) (s string, rest []byte, err error) {
	if len(b) < 4 {
		return "", nil, io.ErrUnexpectedEOF
	}
	n := nativeEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return "", nil, io.ErrUnexpectedEOF
	}
	return string(b[4 : 4+n]), b[4+n:], nil
}

func takeStrings(b []byte, n int) (out []string, rest []byte, err error) {
	if n < 0 || n > len(b)/4 {
		return nil, nil, io.ErrUnexpectedEOF
	}
	out = make([]string, n)
	for i := range out {
		if out[i], b, err = takeString(b); err != nil {
			return nil, nil, err
		}
	}
	return out, b, nil
}

// takeInts and takeFloats copy, because a payload after strings is not aligned.
func takeInts(b []byte, n int) ([]int64, []byte, error) {
	if n < 0 || n > len(b)/8 {
		return nil, nil, io.ErrUnexpectedEOF
	}
	out := make([]int64, n)
	copy(bytesOf(out), b)
	return out, b[8*n:], nil
}

func takeFloats(b []byte, n int) ([]float64, []byte, error) {
	if n < 0 || n > len(b)/8 {
		return nil, nil, io.ErrUnexpectedEOF
	}
	out := make([]float64, n)
	copy(bytesOf(out), b)
	return out, b[8*n:], nil
}
