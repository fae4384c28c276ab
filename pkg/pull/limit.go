package pull

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bounds of how long a client waits for a pull limit whose end the registry did not state,
// before it probes again by a free request.
const (
	minProbe = time.Minute
	maxProbe = 5 * time.Minute
)

// Quota is what a registry's headers say about a pull limit. Docker Hub sends them with
// every answer about a manifest, also to a HEAD, unless the account or image has no limit.
type Quota struct {
	Host      string
	Account   string        // source of the account; empty when anonymous
	Limit     int           // pulls per window
	Remaining int           // pulls left in the window
	Window    time.Duration // 0 when not stated
	Subject   string        // what the registry counts by: a user id or an address; may be empty
	Known     bool          // false: the registry stated no limit
}

// limits knows the pull limits of the registries and what is left of them.
type limits struct {
	net      *network
	wait     time.Duration // see Options
	accounts Accounts      // may be nil

	mu     sync.Mutex
	states map[login]*limitState
	quotas map[login]Quota
}

// limitState is the state of one login's pull limit. The lock of limits guards it.
type limitState struct {
	reached *RateLimitError // nil: there may be pulls left
	round   int             // how often it was renewed; answers of earlier rounds are ignored
	waited  time.Duration   // spent of Options.Wait
	spent   bool            // waiting longer is not allowed or would not help
	waiting chan struct{}   // closed when the caller that waits for all is done, or nil
}

func newLimits(n *network, wait time.Duration, accounts Accounts) *limits {
	return &limits{net: n, wait: wait, accounts: accounts, states: map[login]*limitState{}, quotas: map[login]Quota{}}
}

// state returns the state of a login. The caller holds l.mu.
func (l *limits) state(key login) *limitState {
	st := l.states[key]
	if st == nil {
		st = &limitState{}
		l.states[key] = st
	}
	return st
}

// round returns the current round of a session's limit. The caller asks before a request
// and passes it to reached.
func (l *limits) round(s *session) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state(s.key.login).round
}

// reached reads a 429 of the pull limit and stops all further counted requests to that
// registry with that account: each would be refused, and refused requests have been
// counted too.
func (l *limits) reached(s *session, name string, resp *http.Response, round int) *RateLimitError {
	l.noteQuota(s, resp.Header)
	e := &RateLimitError{Host: s.key.host, Name: name, Source: s.account(), Quota: l.quota(s.key.login), session: s, round: round}
	if resp.Request != nil {
		e.url = resp.Request.URL.String()
	}
	e.setReset(resp.Header)
	e.Detail = words(resp)
	l.mu.Lock()
	defer l.mu.Unlock()
	if st := l.state(s.key.login); st.reached == nil && st.round == round {
		st.reached = e
	}
	return e
}

// check returns an error about name if the limit of the session's login has been reached.
func (l *limits) check(s *session, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if first := l.state(s.key.login).reached; first != nil {
		e := *first
		e.Name = name
		return &e
	}
	return nil
}

// waitForReset waits until the pull limit of limit is renewed. One caller waits for all
// that reached the same one; together they wait no longer than Options.Wait over the
// lifetime of the client. It returns limit when that is not enough.
func (l *limits) waitForReset(ctx context.Context, limit *RateLimitError) error {
	if l.wait <= 0 || limit.session == nil {
		return limit
	}
	for {
		l.mu.Lock()
		st := l.state(limit.session.key.login)
		switch {
		case st.reached == nil || st.round != limit.round:
			l.mu.Unlock()
			return nil
		case st.spent:
			l.mu.Unlock()
			return limit
		case st.waiting == nil:
			st.waiting = make(chan struct{})
			first := *st.reached
			l.mu.Unlock()
			return l.waitForAll(ctx, st, &first)
		}
		waiting := st.waiting
		l.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-waiting:
		}
	}
}

// waitForAll is waitForReset for the caller that waits for the others.
func (l *limits) waitForAll(ctx context.Context, st *limitState, limit *RateLimitError) error {
	renewed, err := l.waitAndProbe(ctx, st, limit)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case renewed:
		st.reached = nil
		st.round++
		delete(l.quotas, limit.session.key.login) // the registry counts from now on
	case err == nil:
		st.spent = true
		err = limit
	}
	close(st.waiting)
	st.waiting = nil
	return err
}

// waitAndProbe waits in steps: as long as the registry stated, or else a part of its
// window. After each step it probes whether there are pulls again. It returns at once
// where the registry states a time that is too far away.
func (l *limits) waitAndProbe(ctx context.Context, st *limitState, limit *RateLimitError) (renewed bool, err error) {
	after := limit.after
	for {
		left := l.wait - st.waited
		if left <= 0 || after > left {
			return false, nil
		}
		step := min(probeAfter(after, limit.Quota.Window), left)
		l.net.events.report(Event{Host: limit.Host, Text: waitText(limit, time.Now().Add(step)), Wait: step})
		if err := l.net.sleep(ctx, step); err != nil {
			return false, err
		}
		st.waited += step
		if l.accounts != nil && step >= minProbe {
			l.accounts.Forget() // tokens of credential helpers may have expired meanwhile
		}
		if renewed, after = limit.session.probe(ctx, limit.url); renewed || ctx.Err() != nil {
			return renewed, ctx.Err()
		}
	}
}

// probeAfter returns how long to wait before the next probe. after is what the registry
// stated, 0 for nothing; Docker Hub's window is six hours, which makes five minutes.
func probeAfter(after, window time.Duration) time.Duration {
	if after > 0 {
		return after + time.Second // clocks differ, and a second too early costs a round
	}
	if window == 0 {
		return maxProbe
	}
	return min(max(window/72, minProbe), maxProbe)
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

// probe asks for a refused manifest by HEAD, which is free, and reads from the answer
// whether there are pulls again, or else when the registry wants to be asked. A refused
// login counts as renewed: with forgotten accounts the next request makes a new one.
func (s *session) probe(ctx context.Context, url string) (renewed bool, after time.Duration) {
	s.net.heads.Add(1)
	resp, err := s.do(ctx, http.MethodHead, url, http.Header{"Accept": {accept}})
	if err != nil {
		return isAuth(err), 0
	}
	drain(resp)
	switch {
	case resp.StatusCode == http.StatusTooManyRequests:
		return false, retryAfter(resp.Header, time.Now())
	case isTemporary(resp.StatusCode):
		return false, 0
	}
	q, known := readQuota(resp.Header)
	return !known || q.Remaining > 0, 0
}

// noteQuota records the lowest remaining number seen: answers to parallel requests arrive
// in any order.
func (l *limits) noteQuota(s *session, h http.Header) {
	q, ok := readQuota(h)
	if !ok {
		return
	}
	q.Host, q.Account = s.key.host, s.account()
	l.mu.Lock()
	defer l.mu.Unlock()
	if old, ok := l.quotas[s.key.login]; ok && old.Remaining < q.Remaining {
		q.Remaining = old.Remaining
	}
	l.quotas[s.key.login] = q
}

// quota returns what is known of a login's limit.
func (l *limits) quota(key login) Quota {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.quotas[key]
}

// allQuotas returns what is known of all limits, in no order.
func (l *limits) allQuotas() []Quota {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Quota
	for _, q := range l.quotas {
		out = append(out, q)
	}
	return out
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
