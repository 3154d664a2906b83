package udp

import (
	"encoding/binary"
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// prepare makes the kernel tell with each packet how many it had to drop (SO_RXQ_OVFL), and gives the size of the
// receive buffer. Who may administer the network gets what it wants beyond net.core.rmem_max. Linux reports twice
// what was asked for: the other half is for its own records (socket(7)).
func prepare(conn *net.UDPConn, want int) (buffer int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var size int
	var got, set error
	err = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE,
			want) // without the right to it, what SetReadBuffer got stays
		size, got = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
		set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
	})
	return size / 2, errors.Join(err, got, set)
}

// overflow is the number of packets dropped so far that a control message tells; 0 where there is none.
func overflow(control []byte) uint64 {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return 0
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_RXQ_OVFL && len(m.Data) >= 4 {
			return uint64(binary.NativeEndian.Uint32(m.Data))
		}
	}
	return 0
}
