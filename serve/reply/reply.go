// Package reply writes the JSON answers of the page's API. Errors are objects with the member "error".
package reply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/voxelstream/voxelstream/internal/clip"
)

// Error is an error with its HTTP status.
type Error struct {
	Status int
	Err    error
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an [Error].
func Errorf(status int, format string, a ...any) error {
	return &Error{status, fmt.Errorf(format, a...)}
}

// JSON answers with v.
func JSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

// Fail answers with an error, whose text is cut if it is long. Errors that do not wrap an [Error] have the status 500.
func Fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	if e, ok := errors.AsType[*Error](err); ok {
		status = e.Status
	} else if errors.Is(err, context.Canceled) {
		return // the client is gone
	}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	JSON(w, status, map[string]string{"error": clip.Text(err.Error())})
}
