//go:build unix && !linux

package integration

import (
	"errors"
	"net"
	"os/exec"
	"testing"
)

type namespace struct{}

func newNamespace(testing.TB) (*namespace, error) { return nil, errors.ErrUnsupported }

func (*namespace) listen(string) (net.Listener, error) { return nil, errors.ErrUnsupported }

func (*namespace) dial(string) (net.Conn, error) { return nil, errors.ErrUnsupported }

func (*namespace) start(*exec.Cmd) error { return errors.ErrUnsupported }
