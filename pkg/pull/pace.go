package pull

import (
	"sync"
	"time"
)

const (
	// slowPace is the distance of requests to a registry that said they came too fast.
	// Docker Hub allows thousands a minute; who met that limit shares an address with others.
	slowPace = time.Second
	// slowFor is how many requests must be served in a row at that pace before it is over.
	slowFor = 60
	// slowAttempts is how often one request is refused for its pace before that is an error:
	// with the waits between them it takes a quarter of an hour.
	slowAttempts = 30
)

// pacer spreads the requests to one host once it asked for that. Its zero value does not.
type pacer struct {
	mu     sync.Mutex
	slow   bool
	next   time.Time // nobody may send before
	served int
}

// delay reserves the next moment to send and says how far it is from now.
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

// refused notes that a request came too fast. It reports whether that is news.
func (p *pacer) refused() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	news := !p.slow
	p.slow, p.served = true, 0
	return news
}

// accepted notes an answer of another kind.
func (p *pacer) accepted() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.served++; p.slow && p.served >= slowFor {
		p.slow = false
	}
}

func (c *Client) pacer(host string) *pacer {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pacers[host]
	if p == nil {
		p = &pacer{}
		c.pacers[host] = p
	}
	return p
}
