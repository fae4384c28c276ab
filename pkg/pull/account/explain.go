package account

import (
	"context"
	"fmt"
)

// Verdict says what becomes of what a source has.
type Verdict string

// The verdicts. Their texts are part of the JSON form and stay.
const (
	Used      Verdict = "used"      // the best account, tried first
	Next      Verdict = "next"      // tried when those before are refused
	Duplicate Verdict = "duplicate" // the same credential as one before
	NoMatch   Verdict = "no match"  // nothing for this repository
	Absent    Verdict = "absent"    // the source is not there
	Broken    Verdict = "broken"    // damaged; passed over when a better account was found
	Unreached Verdict = "unreached" // a good account behind something broken that stops the search
)

// Explanation is one line of the answer to "why this account?". It never holds a
// value of a credential, not even a user name.
type Explanation struct {
	Source   string  `json:"source"`             // as in [Account.Source]; "anonymous" for none
	Registry string  `json:"registry,omitempty"` // as in [Account.Registry]
	Verdict  Verdict `json:"verdict"`
	Why      string  `json:"why,omitempty"`
}

// String gives one line: "used: ~/.docker/config.json (quay.io): password".
func (e Explanation) String() string {
	text := string(e.Verdict) + ": " + e.Source
	if e.Registry != "" {
		text += " (" + e.Registry + ")"
	}
	if e.Why != "" {
		text += ": " + e.Why
	}
	return text
}

// Explain tells for a repository what every source had to say, in the order they
// were asked; arguments as for [Store.For]. When no account was found and none
// was broken the last line is about anonymous access. Helpers may be run, as by
// For; they are not run again.
func (s *Store) Explain(ctx context.Context, repo string, secrets []string) []Explanation {
	var lines []Explanation
	anonymous := true
	for _, f := range s.walk(ctx, repo, secrets) {
		lines = append(lines, f.Explanation)
		if f.Verdict == Used || f.err != nil {
			anonymous = false
		}
	}
	if anonymous {
		lines = append(lines, Explanation{
			Source: string(Anonymous), Verdict: Used, Why: "no source has an account for " + repository(repo).host,
		})
	}
	return lines
}

// judge gives every account found its verdict: first, next, known already, or
// behind something broken.
func judge(found []finding) {
	stopped := false
	first := map[Auth]string{}
	for i := range found {
		f := &found[i]
		if f.err != nil && len(first) == 0 {
			stopped = true
		}
		if f.auth == (Auth{}) {
			continue
		}
		source, known := first[f.auth]
		if known {
			f.Verdict, f.Why = Duplicate, "the same credential as in "+source
			continue
		}
		switch {
		case stopped:
			f.Verdict = Unreached
		case len(first) == 0:
			f.Verdict = Used
		default:
			f.Verdict = Next
		}
		f.Why = f.auth.String()
		first[f.auth] = f.Source
	}
}

// fromEntry speaks about an entry that covers the repository.
func fromEntry(source string, e entry) finding {
	switch {
	case e.err != nil:
		return damaged(source, e.key, e.err)
	case e.auth == (Auth{}):
		return finding{Explanation: Explanation{
			Source: source, Registry: e.key, Verdict: NoMatch, Why: "the entry holds no password or token",
		}}
	default:
		return finding{Explanation: Explanation{Source: source, Registry: e.key}, auth: e.auth}
	}
}

func damaged(source, key string, err error) finding {
	return finding{
		Explanation: Explanation{Source: source, Registry: key, Verdict: Broken, Why: err.Error()},
		err:         err,
	}
}

func absent(source, why string) finding {
	return finding{Explanation: Explanation{Source: source, Verdict: Absent, Why: why}}
}

// unrelated speaks about a source that has nothing for the repository. Entries
// for other paths of the same registry are worth a word: people wonder.
func unrelated(src source, target scope) finding {
	why := "it has no entries"
	if n := len(src.entries); n > 0 {
		why = fmt.Sprintf("none of its entries (%d) is about %s", n, target.host)
	}
	for _, e := range src.entries {
		if e.scope.host == target.host {
			why = fmt.Sprintf("its entry %s is about other repositories", e.key)
			break
		}
	}
	return finding{Explanation: Explanation{Source: src.name, Verdict: NoMatch, Why: why}}
}
