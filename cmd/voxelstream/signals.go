package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/internal/durable"
)

const (
	// stopTime is the time after the first signal at which a command without work to finish is stopped.
	stopTime = time.Second
	// abortTime is the time after the second signal at which the process exits in any case.
	abortTime = time.Second
)

// interrupts ends a command when the process receives a signal, or when nobody reads its output any more.
type interrupts struct {
	once     sync.Once
	received chan os.Signal
	first    atomic.Int32 // number of the signal that ends the command, or 0
}

// listen returns a context that the first signal cancels and a channel that the second one closes, to stop immediately.
// A command that drains finishes its work in flight between the two. Every other one is stopped soon after the first,
// because not all work can be interrupted.
func (i *interrupts) listen(drains bool) (context.Context, <-chan struct{}, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	abort := make(chan struct{})
	i.init()
	signal.Notify(i.received, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // by nohup
		signal.Notify(i.received, syscall.SIGHUP)
	}
	// Without a channel for it, SIGPIPE would kill the process at once if a write to a standard stream fails. Such writes
	// go through pipes instead. The channel is never read, because connections cause the signal too.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	go func() {
		s, _ := (<-i.received).(syscall.Signal)
		i.ended(s)
		cancel()
		if drains {
			<-i.received
			close(abort)
			time.Sleep(abortTime)
		} else {
			select {
			case <-i.received:
			case <-time.After(stopTime):
			}
		}
		durable.Abandon()
		if !i.broken() {
			fmt.Fprintln(os.Stderr, "voxelstream:", app.ErrInterrupted)
		}
		os.Exit(i.code())
	}()
	return ctx, abort, cancel
}

func (i *interrupts) init() { i.once.Do(func() { i.received = make(chan os.Signal, 2) }) }

// signalled is the exit code of a process that ends because of signal 0. That of another signal is greater by its
// number, as shells report it.
const signalled = 128

// code returns the exit code for the signal, or 0 if there was none.
func (i *interrupts) code() int {
	if s := i.first.Load(); s > 0 {
		return signalled + int(s)
	}
	return 0
}

func (i *interrupts) ended(by syscall.Signal) {
	i.first.CompareAndSwap(0, int32(by)) // signals are small numbers
}

// broken reports whether nobody reads the output any more.
func (i *interrupts) broken() bool { return syscall.Signal(i.first.Load()) == syscall.SIGPIPE }

// pipe returns a writer to a standard stream. If its reader has gone, that counts as SIGPIPE.
func (i *interrupts) pipe(f *os.File) io.Writer {
	i.init()
	return &pipe{f, i}
}

// pipe has no other methods of a file, because they would not notice it.
type pipe struct {
	f *os.File
	i *interrupts
}

func (p *pipe) Write(b []byte) (int, error) {
	if p.f == os.Stderr && p.i.broken() {
		return len(b), nil // that nobody reads the results needs no words
	}
	n, err := p.f.Write(b)
	if errors.Is(err, syscall.EPIPE) {
		p.i.ended(syscall.SIGPIPE)
		select {
		case p.i.received <- syscall.SIGPIPE:
		default: // it is ending
		}
	}
	return n, err
}
