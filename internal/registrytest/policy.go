package registrytest

import (
	"path"
	"slices"
	"time"
)

// Auth is the kind of login that a registry requires.
type Auth int

// The kinds of login.
const (
	AuthNone   Auth = iota // no login
	AuthBasic              // name and password with every request (RFC 7617); no anonymous access
	AuthBearer             // tokens from /token, as Docker Hub does
)

// Account is a user with a password. User names are unique.
type Account struct {
	User     string
	Password string
	Quota    int      // counted pulls; 0: unlimited and no quota headers
	Repos    []string // path.Match patterns of the repositories it may pull and push; nil: all
}

// Policy is what a registry requires of its clients and how it serves them. The zero value
// is an open registry without a second host.
type Policy struct {
	Auth     Auth
	Accounts []Account

	// Anonymous clients. With AuthBearer they need a token, too.
	RefuseAnonymous bool     // no tokens without a login
	AnonymousQuota  int      // as Account.Quota, shared by all of them
	Public          []string // patterns of the repositories they may pull; nil: all
	HideMissing     bool     // a repository that does not exist answers 401 instead of 404, as Docker Hub does

	// Tokens of AuthBearer. A token expires when it reaches either limit.
	TokenTTL  time.Duration // 0: 300 s
	TokenUses int           // requests that a token is valid for; 0: any number
	Realm     string        // URL in the challenge; empty: /token on the requested host
	NoOAuth   bool          // POST /token answers 404, as older token servers do
	OnlyOAuth bool          // GET /token answers 405
	Rotate    bool          // a refresh token is valid once; the answer has the next one
	TokenTo   string        // /token redirects there with 307

	PingStatus int  // of the ping, whatever the client sends; 0: as for other requests
	BothLogins bool // AuthBearer offers Basic too, in the same header line

	Window   int  // seconds in the quota headers; 0: 21600
	Redirect bool // answer blob requests with 307 to the second host
}

// clone returns a deep copy.
func (p Policy) clone() Policy {
	p.Accounts = slices.Clone(p.Accounts)
	p.Public = slices.Clone(p.Public)
	return p
}

// account returns the account of a user, or nil.
func (p *Policy) account(user string) *Account {
	for i := range p.Accounts {
		if p.Accounts[i].User == user {
			return &p.Accounts[i]
		}
	}
	return nil
}

// login reports whether the password is that of the user.
func (p *Policy) login(user, password string) bool {
	a := p.account(user)
	return a != nil && a.Password == password
}

// quota returns the number of counted pulls that an account has; 0 is unlimited.
func (p *Policy) quota(user string) int {
	if a := p.account(user); a != nil {
		return a.Quota
	}
	return p.AnonymousQuota
}

// allows reports whether an account ("" is anonymous) may do action on a repository.
// Anonymous clients never push; accounts may also pull public repositories.
func (p *Policy) allows(user, repo, action string) bool {
	if action == "pull" && matchesAny(p.Public, repo) {
		return user != "" || !p.RefuseAnonymous
	}
	a := p.account(user)
	return a != nil && matchesAny(a.Repos, repo)
}

// matchesAny reports whether a pattern matches; nil matches everything.
func matchesAny(patterns []string, repo string) bool {
	if patterns == nil {
		return true
	}
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, repo)
		return err == nil && ok
	})
}
