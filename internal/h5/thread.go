//go:build cgo && !nohdf5

package h5

// #include "shim.h"
import "C"

import (
	"fmt"
	"runtime"
	"sync"
)

// thread is the only operating system thread of this process that calls libhdf5: not every build of the library
// supports several, and the setting that keeps it from printing errors is per thread.
var thread = sync.OnceValue(func() chan<- func() {
	jobs := make(chan func())
	go work(jobs)
	return jobs
})

func work(jobs <-chan func()) {
	runtime.LockOSThread()
	C.vs_quiet()
	for job := range jobs {
		job()
	}
}

// onThread runs f on the thread and waits for it.
func onThread(f func() error) error {
	done := make(chan error, 1)
	thread() <- func() {
		defer func() {
			if r := recover(); r != nil {
				done <- fmt.Errorf("panic: %v", r)
			}
		}()
		done <- f()
	}
	return <-done
}
