// Package inject makes system calls of another process fail.
//
// On Linux, the process runs under a seccomp filter that asks the test about each call on a file (seccomp_unotify(2)).
// That reaches the raw system calls of Go as well as those of C libraries and of child processes, needs no privileges
// and no other program, and costs some microseconds a call. On other systems, the package is empty.
package inject
