package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// abortTime is the time after the second signal at which the process exits in any case.
const abortTime = 3 * time.Second

// signals returns a context that the first SIGINT or SIGTERM cancels, to drain the work in flight, and a channel that
// the second one closes, to stop immediately.
func signals() (context.Context, <-chan struct{}, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	abort, in := make(chan struct{}), make(chan os.Signal, 2)
	signal.Notify(in, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-in
		cancel()
		<-in
		close(abort)
		time.Sleep(abortTime)
		os.Exit(exitFailed)
	}()
	return ctx, abort, cancel
}
