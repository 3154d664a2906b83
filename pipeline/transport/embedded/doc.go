// Package embedded runs a Kafka broker inside the process: franz-go's kfake, which speaks the real protocol over TCP on
// the loopback interface, stores its log in a directory and survives kill -9. It is used when no cluster is configured,
// so that one binary is a complete system and tests need nothing installed.
//
// kfake is written for tests, so this package puts what a service needs around it: a lock on the data directory (kfake
// has none; two brokers in one directory destroy it), a guard in front of its parser (a frame with an unknown API key
// would panic), and retention that also reaches topics loaded from disk. The broker is for one machine: it does not
// replicate, and what the page cache holds is lost with the power.
package embedded
