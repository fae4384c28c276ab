package pull

import (
	"context"
	"errors"
	"fmt"

	"stowage/pkg/pull/account"
)

// A blob or manifest is asked for in three nested loops: waitOutLimit repeats all of it
// after a pull limit has been renewed, tryEndpoints tries mirrors and origin, and
// tryCredentials the accounts for one of them.

// waitOutLimit calls fn for one endpoint after the other until it succeeds. When all fail
// and a pull limit is among the reasons, it waits for the limit to be renewed as far as
// Options.Wait allows, and tries them again.
func (c *Client) waitOutLimit(ctx context.Context, endpoints []endpoint, secrets []string, fn func(conn) error) error {
	for {
		err := c.tryEndpoints(ctx, endpoints, secrets, fn)
		var limit *RateLimitError
		if err == nil || !errors.As(err, &limit) || c.limits.waitForReset(ctx, limit) != nil {
			return err
		}
	}
}

// tryEndpoints tries one endpoint after the other. A refused account ends it: continuing
// with the origin would silently spend another account's pulls.
func (c *Client) tryEndpoints(ctx context.Context, endpoints []endpoint, secrets []string, fn func(conn) error) error {
	if len(endpoints) == 0 {
		return errNoEndpoint
	}
	var errs []error
	for _, e := range endpoints {
		err := c.tryCredentials(ctx, e, secrets, fn)
		if err == nil {
			c.reportFailedMirrors(endpoints, errs)
			return nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil || isAuth(err) || isFinal(err) {
			break
		}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// tryCredentials calls fn with the accounts of an endpoint until one is not refused, as
// the kubelet does. Docker Hub locks an account after some wrong passwords, so there the
// first refusal is the last (docker/hub-feedback 2201). Anonymous is never tried
// after a refusal.
func (c *Client) tryCredentials(ctx context.Context, e endpoint, secrets []string, fn func(conn) error) error {
	accounts, err := c.accounts(ctx, e, secrets)
	if err != nil {
		return err
	}
	for _, a := range accounts {
		var s *session
		if s, err = c.sessions.get(ctx, e, a); err == nil {
			err = fn(conn{session: s, endpoint: e, limits: c.limits})
		}
		if err == nil || !isAuth(err) || e.host == dockerHubHost {
			return err
		}
	}
	return err
}

// accounts returns the accounts to try at an endpoint, best first; a single nil means
// anonymous.
func (c *Client) accounts(ctx context.Context, e endpoint, secrets []string) ([]*account.Account, error) {
	if c.opts.Accounts == nil {
		return []*account.Account{nil}, nil
	}
	found, err := c.opts.Accounts.For(ctx, e.repository(), secrets)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return []*account.Account{nil}, nil
	}
	out := make([]*account.Account, len(found))
	for i := range found {
		out[i] = &found[i]
	}
	return out, nil
}

// reportFailedMirrors reports mirrors that failed, once another endpoint has succeeded;
// when none succeeds, the error names them all. That a mirror's limit is used up is the
// same for every image and is reported once.
func (c *Client) reportFailedMirrors(endpoints []endpoint, errs []error) {
	for i, err := range errs {
		var absent *absentError
		if endpoints[i].origin == "" || errors.As(err, &absent) {
			continue
		}
		ev := Event{Host: endpoints[i].host, Text: oneLine(fmt.Sprintf("mirror failed: %v", err))}
		var limit *RateLimitError
		if errors.As(err, &limit) {
			c.net.events.once("limit of "+limit.Host+" for "+limit.Source, ev)
			continue
		}
		c.net.events.report(ev)
	}
}
