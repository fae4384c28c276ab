package registrytest

import (
	"fmt"
	"net"
	"net/http"
)

// Docker Hub's words for a quota that is used up, and the window it counts in.
const (
	quotaMessage  = "You have reached your pull rate limit. You may increase the limit by authenticating and upgrading: https://www.docker.com/increase-rate-limit"
	defaultWindow = 21600
)

// Used is the number of counted pulls of an account; "" is all anonymous clients.
func (reg *Registry) Used(user string) int {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	return reg.used[user]
}

// SetUsed sets the number of counted pulls of an account; 0 refills its quota.
func (reg *Registry) SetUsed(user string, n int) {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	reg.used[user] = n
}

// charge counts a manifest GET if count is set, and puts the quota's headers on. It gives
// false when the quota was used up already; then nothing is counted (Docker Hub does not
// charge for refusals) and the exchange is answered.
func (x *exchange) countPull(count bool) bool {
	h := x.registry
	h.mu.Lock()
	quota, window := h.policy.quota(x.account), h.policy.Window
	over := quota > 0 && count && h.used[x.account] >= quota
	if count && !over {
		h.used[x.account]++
	}
	remaining := max(0, quota-h.used[x.account])
	h.mu.Unlock()

	if count && !over {
		x.note(func(e *Entry) { e.Counted = true })
	}
	if quota == 0 {
		return true
	}
	if window == 0 {
		window = defaultWindow
	}
	head := x.Header()
	head.Set("ratelimit-limit", fmt.Sprintf("%d;w=%d", quota, window))
	head.Set("ratelimit-remaining", fmt.Sprintf("%d;w=%d", remaining, window))
	head.Set("docker-ratelimit-source", x.source())
	if over {
		x.fail(http.StatusTooManyRequests, "TOOMANYREQUESTS", quotaMessage)
	}
	return !over
}

// source is whose quota it is: the account, or an anonymous client's address.
func (x *exchange) source() string {
	if x.account != "" {
		return x.account
	}
	if host, _, err := net.SplitHostPort(x.r.RemoteAddr); err == nil {
		return host
	}
	return x.r.RemoteAddr
}
