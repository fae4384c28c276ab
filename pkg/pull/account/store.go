package account

import (
	"context"
	"errors"
	"fmt"
)

// Store holds all accounts. It may be used from many goroutines.
type Store struct {
	before  []source // searched before the secrets that the image's pods name
	secrets []secret
	nodes   []secret // searched next
	after   []source // searched before the secrets that no pod names
	helpers helpers
}

// Load reads every source once. It reports all faults together, as *[FileError] values
// joined in the order of the sources.
//
// Files that need not exist are not an error when missing, and damaged secrets
// are kept for [Store.For]: they concern some images only.
func Load(opts Options) (*Store, error) {
	env := opts.Environment
	if env == nil {
		env = System(nil)
	}
	s := &Store{helpers: helpers{env: env}}
	var errs []error
	keep := func(list *[]source) func(source, error) {
		return func(read source, err error) {
			*list = append(*list, read)
			errs = append(errs, err)
		}
	}
	keep(&s.before)(fromLogins(opts.Logins))
	keep(&s.before)(env.read(namedPlace("--authfile", opts.AuthFile)))
	for _, given := range opts.Secrets {
		s.secrets = append(s.secrets, fromSecret(given))
	}
	for _, given := range opts.Nodes {
		s.nodes = append(s.nodes, fromSecret(given))
	}
	keep(&s.after)(fromVariable(env))
	for _, p := range places(env) {
		keep(&s.after)(env.read(p))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// For returns the accounts for a repository ("docker.io/calico/cni", no tag), best
// first; none means anonymous. secrets are those that apply to the image, as
// "NAMESPACE/NAME" in the order to try them; one that was not among the scanned
// manifests is ignored.
//
// The error is a *[FileError] or *[HelperError] when a source that covers the
// repository is damaged and no better account was found, or ctx's own. After a better
// account a damaged source is skipped; [Store.Explain] lists it.
//
// For may run helpers, each once for a registry; they end with ctx.
func (s *Store) For(ctx context.Context, repo string, secrets []string) ([]Account, error) {
	var accounts []Account
	for _, f := range s.walk(ctx, repo, secrets) {
		switch {
		case f.err != nil && len(accounts) == 0:
			return nil, fmt.Errorf("find an account for %s: %w", repo, f.err)
		case f.Verdict == Used || f.Verdict == Next:
			accounts = append(accounts, Account{f.Source, f.Registry, f.auth})
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("find an account for %s: %w", repo, err)
	}
	return accounts, nil
}

// Forget drops the answers of helpers, so that the next [Store.For] runs them again:
// their tokens may expire before a run that waits for quota ends.
func (s *Store) Forget() { s.helpers.forget() }

// finding is an explanation with its account or error.
type finding struct {
	Explanation
	auth Auth
	err  error // stops the search unless an account was found before
}

// walk searches every source in order and judges what it finds.
func (s *Store) walk(ctx context.Context, repo string, secrets []string) []finding {
	target := repository(repo)
	var found []finding
	for _, src := range s.before {
		found = append(found, s.look(ctx, src, target)...)
	}
	found = append(found, s.lookInNamed(secrets, target)...)
	found = append(found, lookTogether(s.nodes, target)...)
	for _, src := range s.after {
		found = append(found, s.look(ctx, src, target)...)
	}
	found = append(found, s.lookInUnnamed(secrets, target)...)
	judge(found)
	return found
}

// look searches one source: its helpers first, then its own entries.
func (s *Store) look(ctx context.Context, src source, target scope) []finding {
	if src.note != "" {
		return []finding{absent(src.name, src.note)}
	}
	found := s.lookInHelpers(ctx, src, target)
	var matches []entry
	for _, e := range src.entries {
		if e.scope.covers(target) {
			matches = append(matches, e)
		}
	}
	sortBySpecificity(matches, func(e entry) (string, scope) { return e.key, e.scope })
	for _, e := range matches {
		found = append(found, fromEntry(src.name, e))
	}
	if len(found) == 0 {
		found = append(found, unrelated(src, target))
	}
	return found
}

// lookInHelpers runs the helper that is responsible: by the most specific rule of
// credHelpers, or else credsStore. An empty name means the file itself.
func (s *Store) lookInHelpers(ctx context.Context, src source, target scope) []finding {
	var rules []rule
	for _, r := range src.rules {
		if r.scope.covers(target) {
			rules = append(rules, r)
		}
	}
	responsible := rule{helper: src.store, scope: scope{host: target.host}}
	if len(rules) > 0 {
		sortBySpecificity(rules, func(r rule) (string, scope) { return r.key, r.scope })
		responsible = rules[0]
	}
	if responsible.helper == "" {
		return nil
	}
	name := src.name + ", helper " + printable(responsible.helper)
	for _, server := range servers(responsible.scope) {
		auth, err := s.helpers.get(ctx, responsible.helper, server)
		if err != nil {
			err = &HelperError{
				Source: src.name, Program: printable(helperPrefix + responsible.helper), Registry: server, Err: err,
			}
			return []finding{damaged(name, server, err)}
		}
		if auth != (Auth{}) {
			return []finding{{Explanation: Explanation{Source: name, Registry: server}, auth: auth}}
		}
	}
	return []finding{{Explanation: Explanation{
		Source: name, Verdict: NoMatch, Why: "it has no account for " + target.host,
	}}}
}

// servers returns the names under which a helper may have an account: docker's before
// podman's for Docker Hub, the namespace before its registry.
func servers(s scope) []string {
	var list []string
	if s.path != "" {
		list = append(list, s.String())
	}
	if s.host == dockerHub {
		list = append(list, dockerHubLogin)
	}
	return append(list, s.host)
}
