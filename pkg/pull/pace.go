package pull

import (
	"sync"
	"time"
)

const (
	// slowPace is the interval between requests to a registry that answered that they come
	// too fast. Docker Hub allows thousands a minute; clients that hit that limit usually
	// share an IP address.
	slowPace = time.Second
	// slowFor is how many requests must be served in a row at that pace before it ends.
	slowFor = 60
	// slowAttempts is how often one request may be refused for its pace before that is an
	// error: with the waits in between it takes a quarter of an hour.
	slowAttempts = 30
)

// pacer spreads the requests to one host once the host asked for that. The zero value
// delays nothing.
type pacer struct {
	mu     sync.Mutex
	slow   bool
	next   time.Time // earliest time of the next request
	served int
}

// delay reserves the next time to send and returns how far it is from now.
func (p *pacer) delay(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.slow {
		return 0
	}
	if p.next.Before(now) {
		p.next = now
	}
	d := p.next.Sub(now)
	p.next = p.next.Add(slowPace)
	return d
}

// refused records that a request came too fast. It reports whether the pacer was not slow
// before.
func (p *pacer) refused() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	changed := !p.slow
	p.slow, p.served = true, 0
	return changed
}

// accepted records any other answer.
func (p *pacer) accepted() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.served++; p.slow && p.served >= slowFor {
		p.slow = false
	}
}

// pacer returns the pacer of a host.
func (n *network) pacer(host string) *pacer {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.pacers[host]
	if p == nil {
		p = &pacer{}
		n.pacers[host] = p
	}
	return p
}
