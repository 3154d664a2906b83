package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// abortTime is how long the hard stop may take before the process ends anyway.
const abortTime = 3 * time.Second

// signals returns a context that ends with the first SIGINT or SIGTERM, which asks to drain, and a channel that is closed by the second, which
// asks to stop at once.
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
