package pull

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Bounds of how long a client waits for a limit whose end the registry did not tell before
// it looks again, by a request that is free.
const (
	minLook = time.Minute
	maxLook = 5 * time.Minute
)

// standing is how a login stands with its registry's pull limit. The client's lock guards it.
type standing struct {
	met    *RateLimitError // nil: as far as is known there are pulls left
	round  int             // how often the limit has been renewed; an answer to a request of an earlier round is old news
	waited time.Duration   // spent of Options.Wait
	spent  bool            // waiting longer is not allowed, or in vain
	over   chan struct{}   // closed when the one that waits for all has done so; nil: nobody waits
}

func (c *Client) standing(key login) *standing {
	st := c.standings[key]
	if st == nil {
		st = &standing{}
		c.standings[key] = st
	}
	return st
}

// round is to be asked before a request to which [Client.limit] may be the answer.
func (c *Client) round(s *session) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.standing(s.key.login).round
}

// limit reads a 429 of the pull limit and stops all further counted requests to that
// registry with that account: each would be refused, and refused requests have been counted too.
func (c *Client) limit(s *session, name string, resp *http.Response, round int) *RateLimitError {
	now := time.Now()
	c.noteQuota(s, resp.Header)
	e := &RateLimitError{Host: s.key.host, Name: name, Source: s.source(), Quota: c.quota(s), session: s, round: round}
	if resp.Request != nil {
		e.url = resp.Request.URL.String()
	}
	if e.after = retryAfter(resp.Header, now); e.after > 0 {
		e.Reset = now.Add(e.after)
	}
	var te *transport.Error
	if errors.As(transport.CheckError(resp), &te) {
		e.Detail = detail(te)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if st := c.standing(s.key.login); st.met == nil && st.round == round {
		st.met = e
	}
	return e
}

// stopped returns the error of a registry whose limit was met before, for another name.
func (c *Client) stopped(s *session, name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if first := c.standing(s.key.login).met; first != nil {
		e := *first
		e.Name = name
		return &e
	}
	return nil
}

// sitOut waits until the pull limit that limit tells of is renewed. One caller waits for
// all who met the same one; together they wait no longer than Options.Wait in the client's
// life. It returns limit when that is not enough.
func (c *Client) sitOut(ctx context.Context, limit *RateLimitError) error {
	if c.opts.Wait <= 0 || limit.session == nil {
		return limit
	}
	for {
		c.mu.Lock()
		st := c.standing(limit.session.key.login)
		switch {
		case st.met == nil || st.round != limit.round:
			c.mu.Unlock()
			return nil
		case st.spent:
			c.mu.Unlock()
			return limit
		case st.over == nil:
			st.over = make(chan struct{})
			first := *st.met
			c.mu.Unlock()
			return c.waitForAll(ctx, st, &first)
		}
		over := st.over
		c.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-over:
		}
	}
}

// waitForAll is sitOut for the one that waits.
func (c *Client) waitForAll(ctx context.Context, st *standing, limit *RateLimitError) error {
	renewed, err := c.awaitReset(ctx, st, limit)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case renewed:
		st.met = nil
		st.round++
		delete(c.quotas, limit.session.key.login) // what is left counts from now on
	case err == nil:
		st.spent = true
		err = limit
	}
	close(st.over)
	st.over = nil
	return err
}

// awaitReset waits in steps: as long as the registry said, or else a part of its window.
// After each step it looks whether there are pulls again. It gives up, without waiting,
// where the registry names a time that is too far.
func (c *Client) awaitReset(ctx context.Context, st *standing, limit *RateLimitError) (bool, error) {
	after := limit.after
	for {
		left := c.opts.Wait - st.waited
		if left <= 0 || after > left {
			return false, nil
		}
		step := min(lookAfter(after, limit.Quota.Window), left)
		c.report(Event{Host: limit.Host, Text: waitText(limit, time.Now().Add(step)), Wait: step})
		if err := c.sleep(ctx, step); err != nil {
			return false, err
		}
		st.waited += step
		if c.opts.Accounts != nil && step >= minLook {
			c.opts.Accounts.Forget() // tokens of credential helpers may have expired meanwhile
		}
		var renewed bool
		if renewed, after = c.look(ctx, limit); renewed || ctx.Err() != nil {
			return renewed, ctx.Err()
		}
	}
}

// lookAfter is how long to wait before looking again. after is what the registry said, 0
// for nothing; Docker Hub's window is six hours, which makes five minutes.
func lookAfter(after, window time.Duration) time.Duration {
	if after > 0 {
		return after + time.Second // clocks differ, and a second too early costs a round
	}
	if window == 0 {
		return maxLook
	}
	return min(max(window/72, minLook), maxLook)
}

func waitText(limit *RateLimitError, until time.Time) string {
	who := "anonymous pulls"
	if limit.Source != "" {
		who = "the account from " + limit.Source
	}
	limited := "the pull limit"
	if limit.Quota.Known {
		limited = fmt.Sprintf("the limit of %d pulls in %s", limit.Quota.Limit, limit.Quota.Window)
	}
	return fmt.Sprintf("%s for %s is used up, waiting until %s", limited, who, until.UTC().Format("2006-01-02 15:04 MST"))
}

// look asks for the refused manifest by HEAD, which is free, and reads from the answer
// whether there are pulls again, or else when the registry wants to be asked. A refused
// login counts as renewed: with forgotten accounts the next request makes a new one.
func (c *Client) look(ctx context.Context, limit *RateLimitError) (renewed bool, after time.Duration) {
	c.heads.Add(1)
	resp, err := c.do(ctx, limit.session, http.MethodHead, limit.url, http.Header{"Accept": {accept}})
	if err != nil {
		return isAuth(err), 0
	}
	drain(resp)
	switch {
	case resp.StatusCode == http.StatusTooManyRequests:
		return false, retryAfter(resp.Header, time.Now())
	case passing(resp.StatusCode):
		return false, 0
	}
	q, known := readQuota(resp.Header)
	return !known || q.Remaining > 0, 0
}

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
