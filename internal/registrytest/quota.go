package registrytest

import (
	"fmt"
	"net"
	"net/http"
)

// Docker Hub's message for a used quota, and the window in which it counts.
const (
	quotaMessage  = "You have reached your pull rate limit. You may increase the limit by authenticating and upgrading: https://www.docker.com/increase-rate-limit"
	defaultWindow = 21600
)

// Used returns the number of counted pulls of an account; "" is all anonymous clients.
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

// countPull counts a manifest GET if count is set, and sets the quota's headers. It returns
// false if the quota was used up already: it has answered the request and counted nothing
// (Docker Hub does not count refused pulls).
func (x *exchange) countPull(count bool) bool {
	reg := x.registry
	reg.mu.Lock()
	quota, window := reg.policy.quota(x.account), reg.policy.Window
	over := quota > 0 && count && reg.used[x.account] >= quota
	if count && !over {
		reg.used[x.account]++
	}
	remaining := max(0, quota-reg.used[x.account])
	reg.mu.Unlock()

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

// source returns the value of docker-ratelimit-source: the account, or an anonymous
// client's address.
func (x *exchange) source() string {
	if x.account != "" {
		return x.account
	}
	if host, _, err := net.SplitHostPort(x.r.RemoteAddr); err == nil {
		return host
	}
	return x.r.RemoteAddr
}
