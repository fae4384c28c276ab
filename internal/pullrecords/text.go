package pullrecords

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

func unreadable(err error) Decision {
	return Decision{Pull: true, Reason: Unreadable, Text: "the kubelet cannot read its record: " + err.Error()}
}

func errFormat(format string) error {
	return fmt.Errorf("its version %s is newer than the kubelet", format)
}

func noCredentials() Decision {
	return Decision{Pull: true, Reason: NoCredentials, Text: "recorded without credentials after an interrupted pull"}
}

// accepts returns the decision of the policy when it accepts the image without looking at
// credentials. remembered: the kubelet believes that it pulled the image.
func (s Settings) accepts(names naming, name string, remembered bool) (Decision, bool) {
	switch s.Policy {
	case NeverVerify:
		return Decision{Reason: NotVerified, Text: "policy NeverVerify"}, true
	case NeverVerifyPreloadedImages, "":
		return Decision{Reason: Preloaded, Text: "not pulled by the kubelet"}, !remembered
	case NeverVerifyAllowlistedImages:
		return Decision{Reason: Allowlisted, Text: "on the allowlist of the kubelet"}, names.allows(s.Allowlist, name)
	}
	return Decision{}, false
}

// refusal returns the decision on an image without a record that the policy does not accept.
func (s Settings) refusal(intent bool) Decision {
	d := Decision{Pull: true}
	switch {
	case s.Policy == NeverVerifyAllowlistedImages:
		d.Reason, d.Text = NotAllowed, "not on the allowlist of the kubelet"
	case intent && s.Policy != AlwaysVerify:
		d.Reason, d.Text = Interrupted, "an interrupted pull is recorded"
	default:
		d.Reason, d.Text = PolicyAlways, "policy "+quote(string(s.Policy))
	}
	return d
}

// refusal returns the decision on an image whose record lacks the repository.
func (r record) refusal() Decision {
	if len(r.Repositories) == 0 {
		return noCredentials()
	}
	names := slices.Sorted(maps.Keys(r.Repositories))
	return Decision{Pull: true, Reason: Repository, Repositories: names, Text: "pulled before as " + enumerate(names)}
}

// refusal returns the decision on a pod without the credentials that pulled the image.
func (c credentials) refusal() Decision {
	d := Decision{Pull: true, Reason: Secrets}
	var accounts, parts []string
	for _, s := range c.Secrets {
		d.Secrets = append(d.Secrets, s.Namespace+"/"+s.Name)
	}
	for _, a := range c.ServiceAccounts {
		accounts = append(accounts, a.Namespace+"/"+a.Name)
	}
	for _, kind := range []struct {
		word  string
		names *[]string
	}{{"secret", &d.Secrets}, {"service account", &accounts}} {
		slices.Sort(*kind.names)
		*kind.names = slices.Compact(*kind.names)
		switch n := len(*kind.names); {
		case n == 1:
			parts = append(parts, kind.word+" "+enumerate(*kind.names))
		case n > 1:
			parts = append(parts, kind.word+"s "+enumerate(*kind.names))
		}
	}
	d.Text = "pulled before with " + strings.Join(parts, " and ")
	return d
}

// enumerate returns the first of names, quoted where necessary.
func enumerate(names []string) string {
	const most = 3
	shown := make([]string, 0, most)
	for _, name := range names[:min(len(names), most)] {
		shown = append(shown, quote(name))
	}
	text := strings.Join(shown, ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// quote returns s as it is when it has only characters of image names and of Kubernetes
// names, else quoted and of limited length.
func quote(s string) string {
	const most = 255
	plain := strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./:_-@[]") == "" && s != ""
	if len(s) > most {
		s = s[:most] + "..."
	}
	if plain {
		return s
	}
	return strconv.Quote(s)
}
