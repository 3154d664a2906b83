package transport

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/internal/clip"
)

// The headers of a message whose value is an object outside Kafka.
const (
	claimPrefix       = "claim-"
	headerClaimObject = claimPrefix + "object"
	headerClaimBytes  = claimPrefix + "bytes"
	headerClaimSHA256 = claimPrefix + "sha256"
)

// objectSuffix is the end of the names of objects, which are Arrow streams.
const objectSuffix = ".arrow"

// Reference identifies the object that holds the value of a message. The object is named by its content, and readers
// look for it only at the place that they are configured with.
type Reference struct {
	// Size is that of the object in bytes.
	Size int64 `json:"bytes"`
	// SHA256 is the digest of the object: 64 hexadecimal digits in lower case.
	SHA256 string `json:"sha256"`
}

// Object returns the name of the object.
func (r Reference) Object() string { return r.SHA256 + objectSuffix }

// WithReference returns the message with a reference in place of its value. The key and the other headers stay, except
// for the checksum of the value.
func (m Message) WithReference(r Reference) Message {
	m.Headers = slices.DeleteFunc(slices.Clone(m.Headers), func(h Header) bool {
		return h.Key == headerChecksum || strings.HasPrefix(h.Key, claimPrefix)
	})
	m.Headers = append(m.Headers, Header{headerClaimObject, []byte(r.Object())},
		Header{headerClaimBytes, strconv.AppendInt(nil, r.Size, 10)}, Header{headerClaimSHA256, []byte(r.SHA256)})
	m.Value = []byte{} // to Kafka's tools, no value would mean that the message deletes others
	return m
}

// Reference returns the reference that a message has in place of a value, or nil if it has none. The error says what is
// wrong with the headers. An object with a name other than that of its digest is refused, so that a message cannot
// choose what is read.
func (m *Message) Reference() (*Reference, error) {
	object, ok := m.Header(headerClaimObject)
	if !ok {
		return nil, nil //nolint:nilnil // see above
	}
	bad := func(header, found, want string) (*Reference, error) {
		return nil, fmt.Errorf("header %s: found %q, want %s", header, clip.To(found, maxID), want)
	}
	r := &Reference{}
	r.SHA256, _ = m.Header(headerClaimSHA256)
	if len(r.SHA256) != 64 || strings.Trim(r.SHA256, "0123456789abcdef") != "" {
		return bad(headerClaimSHA256, r.SHA256, "64 hexadecimal digits in lower case")
	}
	if object != r.Object() {
		return bad(headerClaimObject, object, r.Object())
	}
	size, _ := m.Header(headerClaimBytes)
	var err error
	if r.Size, err = strconv.ParseInt(size, 10, 64); err != nil || r.Size < 1 {
		return bad(headerClaimBytes, size, "a number of at least 1")
	}
	if len(m.Value) > 0 {
		return nil, errors.New("found a value of " + strconv.Itoa(len(m.Value)) + " bytes beside a reference, want one of both")
	}
	return r, nil
}
