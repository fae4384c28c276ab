package pull

import (
	"context"
	"errors"
	"fmt"

	"github.com/distribution/reference"

	"stowage/pkg/pull/account"
)

// each tries the places that have a repository's bytes in order, with each one's accounts, until fn
// succeeds. When all fail and a pull limit is among the reasons, it is sat out as far as
// Options.Wait allows, and they are tried again.
func (c *Client) each(ctx context.Context, named reference.Named, secrets []string, fn func(*session, endpoint) error) error {
	return c.persist(ctx, c.routes.pullers(named), secrets, fn)
}

// eachResolver is each for those who may say what a tag means: with
// Options.ResolveAtOrigin the origin alone.
func (c *Client) eachResolver(ctx context.Context, named reference.Named, secrets []string, fn func(*session, endpoint) error) error {
	return c.persist(ctx, c.routes.resolvers(named), secrets, fn)
}

func (c *Client) persist(ctx context.Context, places []endpoint, secrets []string, fn func(*session, endpoint) error) error {
	for {
		err := c.inTurn(ctx, places, secrets, fn)
		var limit *RateLimitError
		if err == nil || !errors.As(err, &limit) || c.sitOut(ctx, limit) != nil {
			return err
		}
	}
}

// inTurn asks one place after the other. A refused account ends it: going on to the
// origin would spend another account's pulls without a word.
func (c *Client) inTurn(ctx context.Context, places []endpoint, secrets []string, fn func(*session, endpoint) error) error {
	if len(places) == 0 {
		return errNowhere
	}
	var errs []error
	for _, e := range places {
		err := c.asAccounts(ctx, e, secrets, fn)
		if err == nil {
			c.passedOver(places, errs)
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

// passedOver tells of mirrors that were asked in vain, now that another place served. Where
// none does, the error tells of all of them. That a mirror's limit is used up is the same
// news for every image, and told once.
func (c *Client) passedOver(places []endpoint, errs []error) {
	for i, err := range errs {
		var none *absentError
		if places[i].origin == "" || errors.As(err, &none) {
			continue
		}
		var limit *RateLimitError
		if errors.As(err, &limit) {
			c.mu.Lock()
			key := "limit of " + limit.Host + " for " + limit.Source
			known := c.warned[key]
			c.warned[key] = true
			c.mu.Unlock()
			if known {
				continue
			}
		}
		c.report(Event{Host: places[i].host, Text: oneLine(fmt.Sprintf("mirror passed over: %v", err))})
	}
}

// accounts to try at an endpoint, best first; a single nil means anonymous.
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

// asAccounts runs fn with the accounts of an endpoint until one is not refused, as the
// kubelet does. Docker Hub locks an account after some wrong passwords, so there the first
// refusal is the last (docker/registry-feedback 2201). Anonymous is never tried after a refusal.
func (c *Client) asAccounts(ctx context.Context, e endpoint, secrets []string, fn func(*session, endpoint) error) error {
	accounts, err := c.accounts(ctx, e, secrets)
	if err != nil {
		return err
	}
	for _, a := range accounts {
		var s *session
		if s, err = c.session(ctx, e, a); err == nil {
			err = fn(s, e)
		}
		if err == nil || !isAuth(err) || e.host == registryHost {
			return err
		}
	}
	return err
}
