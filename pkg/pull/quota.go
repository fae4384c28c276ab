package pull

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Quota is what a registry's headers say of a pull limit. Docker Hub sends them with every
// answer about a manifest, also to a HEAD, unless the account or image has no limit.
type Quota struct {
	Host      string
	Account   string        // source of the account; empty when anonymous
	Limit     int           // pulls per window
	Remaining int           // pulls left in the window
	Window    time.Duration // 0 when not said
	Subject   string        // whom the registry counts: a user id or an address; may be empty
	Known     bool          // false: the registry said nothing, so there is no limit known
}

// readQuota reads "ratelimit-limit: 100;w=21600" and its companions.
func readQuota(h http.Header) (Quota, bool) {
	limit, window, ok := quotaValue(h.Get("Ratelimit-Limit"))
	if !ok {
		return Quota{}, false
	}
	q := Quota{Limit: limit, Window: window, Known: true, Subject: oneLine(h.Get("Docker-Ratelimit-Source"))}
	if q.Remaining, _, ok = quotaValue(h.Get("Ratelimit-Remaining")); !ok {
		return Quota{}, false
	}
	return q, true
}

func quotaValue(s string) (n int, window time.Duration, ok bool) {
	num, params, _ := strings.Cut(s, ";")
	n, err := strconv.Atoi(strings.TrimSpace(num))
	if err != nil || n < 0 {
		return 0, 0, false
	}
	for p := range strings.SplitSeq(params, ";") {
		if v, found := strings.CutPrefix(strings.TrimSpace(p), "w="); found {
			if sec, err := strconv.ParseInt(v, 10, 32); err == nil && sec > 0 {
				window = time.Duration(sec) * time.Second
			}
		}
	}
	return n, window, true
}

// noteQuota remembers the lowest remaining number seen: answers to parallel requests come
// in any order.
func (c *Client) noteQuota(s *session, h http.Header) {
	q, ok := readQuota(h)
	if !ok {
		return
	}
	q.Host, q.Account = s.key.host, s.source()
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.quotas[s.key.login]; ok && old.Remaining < q.Remaining {
		q.Remaining = old.Remaining
	}
	c.quotas[s.key.login] = q
}

func (c *Client) quota(s *session) Quota {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.quotas[s.key.login]
}

// readLimited reads at most max bytes and fails on more.
func readLimited(r io.Reader, max int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, max+1))
	if err == nil && int64(len(b)) > max {
		err = errTooLarge
	}
	return b, err
}

var errTooLarge = errors.New("larger than the limit of 8 MiB for manifests, indexes and configs")
