package registrytest

import (
	"path"
	"slices"
	"time"
)

// Auth is how a registry wants its clients to log in.
type Auth int

// The kinds of login.
const (
	AuthNone   Auth = iota // nobody is asked
	AuthBasic              // name and password with every request (RFC 7617); no anonymous access
	AuthBearer             // tokens from /token, as Docker Hub does
)

// Account is somebody with a password. Names are unique.
type Account struct {
	User     string
	Password string
	Quota    int      // counted pulls; 0: unlimited and no quota headers
	Repos    []string // patterns of path.Match it may pull and push; nil: all
}

// Policy is what a registry asks of its clients. The zero value is an open registry that
// serves everything itself.
type Policy struct {
	Auth     Auth
	Accounts []Account

	// Anonymous clients (with AuthBearer they need a token as everybody does).
	RefuseAnonymous bool     // no tokens without a login
	AnonymousQuota  int      // as Account.Quota, one count for all of them
	Public          []string // patterns of what they may pull; nil: all
	HideMissing     bool     // a repository that does not exist answers 401 instead of 404, as Docker Hub does

	// Tokens of AuthBearer. A token is over when either limit is reached.
	TokenTTL  time.Duration // 0: 300 s
	TokenUses int           // requests one token is good for; 0: any number
	Realm     string        // URL in the challenge; empty: /token on the host that was asked
	NoOAuth   bool          // POST /token answers 404, as older token servers do

	Window   int  // seconds in the quota headers; 0: 21600
	Redirect bool // blobs are answered with 307 to the second host
}

// clone copies the policy so that neither side sees the other's changes.
func (p Policy) clone() Policy {
	p.Accounts = slices.Clone(p.Accounts)
	p.Public = slices.Clone(p.Public)
	return p
}

// account finds an account by name; nil if there is none.
func (p *Policy) account(user string) *Account {
	for i := range p.Accounts {
		if p.Accounts[i].User == user {
			return &p.Accounts[i]
		}
	}
	return nil
}

// login checks name and password.
func (p *Policy) login(user, password string) bool {
	a := p.account(user)
	return a != nil && a.Password == password
}

// quota is the number of counted pulls an account has; 0 is unlimited.
func (p *Policy) quota(user string) int {
	if a := p.account(user); a != nil {
		return a.Quota
	}
	return p.AnonymousQuota
}

// allows says whether an account ("" is anonymous) may do action on a repository.
// Anonymous clients never push; accounts reach what is public besides their own.
func (p *Policy) allows(user, repo, action string) bool {
	if action == "pull" && matchesAny(p.Public, repo) {
		return user != "" || !p.RefuseAnonymous
	}
	a := p.account(user)
	return a != nil && matchesAny(a.Repos, repo)
}

// matchesAny says whether a pattern matches; no patterns at all match everything.
func matchesAny(patterns []string, repo string) bool {
	if patterns == nil {
		return true
	}
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, repo)
		return err == nil && ok
	})
}
