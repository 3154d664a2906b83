// Package embedded runs a Kafka broker inside the process. It uses franz-go's kfake, which speaks the real protocol
// over TCP on the loopback interface, stores its log in a directory and survives kill -9. The embedded broker is used
// if no cluster is configured, so that one binary is a complete system and tests need no other software.
//
// kfake is written for tests, so this package adds what a service needs: a lock on the data directory (two brokers in
// one directory would destroy the log), a guard in front of the parser (an unknown API key would cause a panic), and
// retention for topics loaded from disk. Requests for which the disk has no space are refused. After a failed write,
// nothing is confirmed until the log has been read again. Damage is repaired before the log is read: it costs only
// the damaged batch, and is reported. The broker is for a single machine. It does not replicate, and a power loss
// loses what is only in the page cache.
package embedded
