// Package budget bounds the memory that a process uses to decode inputs. Every decoder draws on the budget before it
// allocates memory whose size comes from outside.
//
// A budget consists of two parts. The pool is shared by all accounts. The reserve belongs to one account at a time: the
// first that did not fit into the pool, until it is closed or fits into the pool again. The reserve is as large as the
// limit of one account, so its owner never waits, and it always comes free. Thus accounts that hold memory and want more
// cannot block each other, nobody has to start again, and whether an account is refused depends on nothing but itself.
// Accounts that wait are served in order.
package budget

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
)

// ErrLimit means that one input needs more memory than the budget allows for one, whatever else is read.
var ErrLimit = errors.New("more memory than one input may use")

// limitError is an ErrLimit with numbers.
type limitError struct{ want, limit int64 }

func (e *limitError) Error() string {
	return fmt.Sprintf("found a need of %d bytes of memory, limit %d (three quarters of ingest.memory)", e.want,
		e.limit)
}

func (e *limitError) Is(target error) bool { return target == ErrLimit }

// Budget bounds the memory of all accounts together. A nil Budget has no limits.
type Budget struct {
	pool, reserve int64
	// ask and given are those of a remote budget.
	ask   func(n int64) error
	given func(n int64)

	mu     sync.Mutex
	pooled int64    // what all accounts but the owner of the reserve hold
	owner  *account // nil while the reserve is free
	queue  []*waiter
}

// waiter is a call of Take that waits.
type waiter struct {
	account *account
	n       int64
	done    chan struct{}
	err     error // valid after done is closed
}

// New returns a budget of size bytes, of which one account may hold three quarters. A size of 0 means no limits.
func New(size int64) *Budget {
	if size == 0 {
		return nil
	}
	return &Budget{pool: size / 4, reserve: size - size/4}
}

// Remote returns a budget whose accounts are, all together, one account of a budget in another process. ask takes bytes
// there, and given is told what is returned; both may be called by several goroutines.
func Remote(ask func(n int64) error, given func(n int64)) *Budget {
	return &Budget{pool: math.MaxInt64, reserve: math.MaxInt64, ask: ask, given: given}
}

// Limit returns the number of bytes that one account may hold, or 0 if b is nil.
func (b *Budget) Limit() int64 {
	if b == nil {
		return 0
	}
	return b.reserve
}

// InUse returns the number of bytes that all accounts hold.
func (b *Budget) InUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.owner != nil {
		return b.pooled + b.owner.held
	}
	return b.pooled
}

// Run calls f with a new account, and closes the account when f returns.
func (b *Budget) Run(ctx context.Context, f func(*Account) error) error {
	a := b.Open(ctx)
	defer a.Close()
	return f(a)
}

// Open returns a new account of an input. Its Take waits at most until ctx ends. It is nil, and has no limits, if b is
// nil.
//
// A goroutine must not wait for a second account while it keeps another open, because the first may own the reserve.
func (b *Budget) Open(ctx context.Context) *Account {
	if b == nil {
		return nil
	}
	return &Account{root: &account{budget: b, ctx: ctx}, whole: true}
}

// account is what one input holds.
type account struct {
	budget *Budget
	ctx    context.Context
	held   int64
	closed int // how often the whole account was closed
}

// Account is the memory that one input holds, or a part of it. Its methods are safe for concurrent use. A nil Account
// has no limits.
type Account struct {
	root   *account
	whole  bool // not a part
	held   int64
	closed int // root.closed when held was valid
}

// Within makes ctx the context that ends the waiting of the whole account.
func (a *Account) Within(ctx context.Context) {
	if a == nil {
		return
	}
	a.root.budget.mu.Lock()
	a.root.ctx = ctx
	a.root.budget.mu.Unlock()
}

// Part returns an account whose memory counts as that of a, and which can be closed by itself.
func (a *Account) Part() *Account {
	if a == nil {
		return nil
	}
	return &Account{root: a.root}
}

// Take takes n bytes, and waits until they are free. The error is an [ErrLimit] if the account would hold more than the
// limit of one account, and that of the context if it ends first.
func (a *Account) Take(n int64) error {
	if a == nil {
		return nil
	}
	a.root.budget.mu.Lock()
	ctx := a.root.ctx
	a.root.budget.mu.Unlock()
	return a.TakeContext(ctx, n)
}

// TakeContext is Take, but waits at most until ctx ends, whatever the account's context.
func (a *Account) TakeContext(ctx context.Context, n int64) error {
	if a == nil || n <= 0 {
		return nil
	}
	b := a.root.budget
	if b.ask != nil {
		if err := b.ask(n); err != nil {
			return err
		}
	}
	b.mu.Lock()
	w := &waiter{account: a.root, n: n}
	if (len(b.queue) == 0 || a.root == b.owner) && b.serve(w) {
		return a.took(w)
	}
	w.done = make(chan struct{})
	b.queue = append(b.queue, w)
	b.mu.Unlock()
	select {
	case <-w.done:
		b.mu.Lock()
		return a.took(w)
	case <-ctx.Done():
	}
	b.mu.Lock()
	i := slices.Index(b.queue, w)
	if i < 0 { // served in the meantime
		return a.took(w)
	}
	b.queue = slices.Delete(b.queue, i, i+1)
	b.wake()
	b.mu.Unlock()
	return context.Cause(ctx)
}

// took notes what was served, and unlocks the budget.
func (a *Account) took(w *waiter) error {
	defer a.root.budget.mu.Unlock()
	if w.err == nil {
		a.valid()
		a.held += w.n
	}
	return w.err
}

// serve takes what a call wants, or decides that it is too much. It reports false if the call must wait.
func (b *Budget) serve(w *waiter) bool {
	a := w.account
	switch {
	case w.n > b.reserve-a.held:
		w.err = &limitError{w.n + a.held, b.reserve}
		return true
	case a == b.owner:
	case w.n <= b.pool-b.pooled:
		b.pooled += w.n
	case b.owner == nil:
		b.owner = a
		b.pooled -= a.held
	default:
		return false
	}
	a.held += w.n
	return true
}

// wake serves the calls that wait: the first, and all of the owner of the reserve.
func (b *Budget) wake() {
	for i := 0; i < len(b.queue); {
		w := b.queue[i]
		if (i > 0 && w.account != b.owner) || !b.serve(w) {
			i++
			continue
		}
		close(w.done)
		b.queue = slices.Delete(b.queue, i, i+1)
		i = 0
	}
}

// Give returns n bytes that the account has taken. It returns no more than the account holds.
func (a *Account) Give(n int64) {
	if a == nil || n <= 0 {
		return
	}
	b := a.root.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	a.give(n)
}

// Close returns all that the account holds: what a part has taken or, if a is no part, what all of its parts have taken
// too. It can be used and closed again.
func (a *Account) Close() {
	if a == nil {
		return
	}
	root := a.root
	b := root.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if !a.whole {
		a.give(math.MaxInt64)
		return
	}
	root.closed++
	b.returned(root, root.held)
}

// valid forgets what was returned when the whole account was closed.
func (a *Account) valid() {
	if a.closed != a.root.closed {
		a.held, a.closed = 0, a.root.closed
	}
}

func (a *Account) give(n int64) {
	a.valid()
	n = min(n, a.held, a.root.held)
	a.held -= n
	a.root.budget.returned(a.root, n)
}

// returned takes back n bytes of an account.
func (b *Budget) returned(root *account, n int64) {
	if b.given != nil {
		b.given(n)
	}
	root.held -= n
	switch {
	case root != b.owner:
		b.pooled -= n
	case root.held <= b.pool-b.pooled:
		b.owner = nil
		b.pooled += root.held
	}
	b.wake()
}
