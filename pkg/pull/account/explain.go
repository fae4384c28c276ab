package account

import (
	"context"
	"fmt"
)

// Verdict is what happens with the account of a source.
type Verdict string

// The verdicts. Their texts are part of the JSON form and do not change.
const (
	Used      Verdict = "used"      // the best account, tried first
	Next      Verdict = "next"      // tried when the earlier ones are refused
	Duplicate Verdict = "duplicate" // the same credential as an earlier one
	NoMatch   Verdict = "no match"  // the source has nothing for this repository
	Absent    Verdict = "absent"    // the source does not exist
	Broken    Verdict = "broken"    // damaged; skipped when a better account was found
	Unreached Verdict = "unreached" // a valid account after a broken one that ended the search
)

// Explanation is one line of the answer to "why this account?". It never contains a
// value of a credential, not even a user name.
type Explanation struct {
	Source   string  `json:"source"`             // as in [Account.Source]; "anonymous" for none
	Registry string  `json:"registry,omitempty"` // as in [Account.Registry]
	Verdict  Verdict `json:"verdict"`
	Why      string  `json:"why,omitempty"`
}

// String returns one line: "used: ~/.docker/config.json (quay.io): password".
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

// Explain returns what every source has for a repository, in the order of the
// search; arguments as for [Store.For]. When no account was found and none was
// broken, the last line is about anonymous access. It may run helpers as For does,
// but none that has answered already.
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

// judge sets the verdict of every account found: first, next, duplicate, or after a
// broken one.
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

// fromEntry returns the finding for an entry that covers the repository.
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

// unrelated returns the finding for a source that has nothing for the repository. It
// names an entry for another path of the same registry, which a user may expect to
// match.
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
