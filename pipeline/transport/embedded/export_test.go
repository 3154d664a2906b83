package embedded

// Connections returns the number of open connections.
func (b *Broker) Connections() int {
	b.guard.mu.Lock()
	defer b.guard.mu.Unlock()
	return len(b.guard.conns)
}
