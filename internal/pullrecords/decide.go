package pullrecords

import (
	"slices"
	"strings"
)

// Reason is why the kubelet uses the image that is there, or asks a registry for it.
type Reason string

// The reasons for using the image.
const (
	Disabled       Reason = "disabled"        // the feature gate is off
	NotVerified    Reason = "not-verified"    // by the policy NeverVerify
	Preloaded      Reason = "preloaded"       // no record, and the policy accepts that
	Allowlisted    Reason = "allowlisted"     // by the allowlist of the policy
	NodeAccessible Reason = "node-accessible" // recorded as usable by every pod of the node
	Credentials    Reason = "credentials"     // recorded with credentials that the pod has
)

// The reasons for a pull. With imagePullPolicy Never the pod fails instead.
const (
	NotPresent    Reason = "not-present"    // CRI does not have the image
	Unreadable    Reason = "unreadable"     // the record or the intent cannot be read
	BadName       Reason = "bad-name"       // the name is none
	PolicyAlways  Reason = "policy"         // no record, and the policy is AlwaysVerify or unknown
	NotAllowed    Reason = "not-allowed"    // no record, and the allowlist does not have the name
	Interrupted   Reason = "interrupted"    // an intent: a pull is in progress or was interrupted
	Repository    Reason = "repository"     // recorded for other repositories only
	Secrets       Reason = "secrets"        // recorded with credentials that the pod lacks
	NoCredentials Reason = "no-credentials" // recorded without any: what a start makes of an intent
	Unread        Reason = "unread"         // Trust wrote the record after the kubelet read its records
)

// Result returns the label "result" with which the kubelet counts the decision in its
// metric kubelet_imagemanager_image_mustpull_checks_total, "" when it counts none.
func (r Reason) Result() string {
	switch r {
	case NotVerified, Preloaded, Allowlisted:
		return "credentialPolicyAllowed"
	case NodeAccessible, Credentials:
		return "credentialRecordFound"
	case PolicyAlways, NotAllowed, Interrupted, Repository, Secrets, NoCredentials, Unread:
		return "mustAuthenticate"
	case Unreadable, BadName:
		return "error"
	}
	return ""
}

// Decision is the kubelet's answer for one pod and one image.
type Decision struct {
	// Pull is true when the kubelet asks a registry although CRI has the image. It fails
	// then with imagePullPolicy Never.
	Pull   bool
	Reason Reason
	// Secrets are the secrets that the record accepts, "namespace/name", for Reason Secrets.
	Secrets []string
	// Repositories are those the record has instead, for Reason Repository.
	Repositories []string
	// Text says the reason in words, "pulled before with secret default/regcred".
	Text string
}

// writeLimit is the number of secrets from which the kubelet no longer adds to a record
// what it merely sees, and with that no longer accepts a secret whose credentials changed
// (image_pull_manager.go, writeRecordWhileMatchingLimit).
const writeLimit = 100

// Decide returns whether the kubelet, asked to start a container of p with the image name,
// pulls it although it is present as imageRef. name is as in the pod: the kubelet compares
// text, so that "busybox:1" and "docker.io/library/busybox:1" are two. imageRef is the id
// that CRI returns for it, "" when it does not have the image.
//
// The policy is that of a pull policy IfNotPresent or Never. With Always the kubelet asks
// no one and pulls.
func (r *Records) Decide(s Settings, name, imageRef string, p Pod) Decision {
	if imageRef == "" {
		return Decision{Pull: true, Reason: NotPresent, Text: "not present"}
	}
	if !s.Enabled {
		return Decision{Reason: Disabled, Text: "the kubelet does not verify credentials"}
	}
	var d Decision
	for _, names := range namesOf(s.Version) {
		if d = r.decide(s, names, name, imageRef, p); d.Pull {
			break
		}
	}
	return d
}

// DecideImage is [Records.Decide] for pods whose spelling of name is not known. It decides
// for each spelling that the node's intents and the record of the image show, for name
// itself when the record shows none, and returns the first decision for a pull.
func (r *Records) DecideImage(s Settings, name, imageRef string, p Pod) Decision {
	var d Decision
	for _, spelling := range r.spellingsOf(name, imageRef) {
		if d = r.Decide(s, spelling, imageRef, p); d.Pull {
			break
		}
	}
	return d
}

// spellingsOf returns the spellings of name that pods of this node are known to use, at
// least one.
func (r *Records) spellingsOf(name, imageRef string) []string {
	full := normalise(name)
	repository, err := repositoryNormalised(name)
	if err != nil {
		return []string{name}
	}
	var list []string
	if rec, _ := r.pulled.get(imageRef); rec != nil {
		for other := range rec.Repositories {
			if same, err := repositoryNormalised(other); err == nil && same == repository {
				list = append(list, other+strings.TrimPrefix(full, repository))
			}
		}
	}
	if len(list) == 0 {
		list = append(list, name)
	}
	for image := range r.intents.values {
		if normalise(image) == full {
			list = append(list, image)
		}
	}
	for _, s := range spellings(name) {
		if r.intents.broken[fileName(s)] != nil {
			list = append(list, s)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func (r *Records) decide(s Settings, names naming, name, imageRef string, p Pod) Decision {
	rec, err := r.pulled.get(imageRef)
	if err == nil && rec != nil && !names.reads(rec.Format) {
		err = errFormat(rec.Format)
	}
	if err != nil {
		return unreadable(err)
	}
	var intent *string
	if rec == nil {
		if intent, err = r.intents.get(name); err != nil {
			return unreadable(err)
		}
	}
	if d, ok := s.accepts(names, name, rec != nil || intent != nil); ok {
		return d
	}
	if rec == nil {
		return s.refusal(intent != nil)
	}
	repository, err := names.repository(name)
	if err != nil {
		return Decision{Pull: true, Reason: BadName, Text: "not the name of an image: " + quote(name)}
	}
	c, ok := rec.Repositories[repository]
	if !ok {
		return rec.refusal()
	}
	if d := c.decide(p); d.Pull || !rec.unread(s.Process) {
		return d
	}
	return Decision{Pull: true, Reason: Unread, Text: "the kubelet must be restarted to see a new record"}
}

// unread reports whether the kubelet that runs, as in [Settings.Process], has not read the
// record: it had read its records before Trust wrote this one.
func (r record) unread(process uint32) bool {
	if r.Process == 0 || process == 0 {
		return false
	}
	return r.Process == process || r.Process == UnknownProcess || process == UnknownProcess
}

// decide returns whether credentials of p are among those that pulled the image.
func (c credentials) decide(p Pod) Decision {
	switch {
	case c.NodeAccessible:
		return Decision{Reason: NodeAccessible, Text: "every pod of the node may use it"}
	case len(c.Secrets) == 0 && len(c.ServiceAccounts) == 0:
		return noCredentials()
	}
	for _, s := range p.Secrets {
		if slices.ContainsFunc(c.Secrets, func(known Secret) bool { return c.accepts(known, s) }) {
			return Decision{Reason: Credentials, Text: "pulled before with secret " + quote(s.Namespace+"/"+s.Name)}
		}
	}
	for _, a := range p.ServiceAccounts {
		if slices.Contains(c.ServiceAccounts, a) {
			return Decision{Reason: Credentials, Text: "pulled before with service account " + quote(a.Namespace+"/"+a.Name)}
		}
	}
	return c.refusal()
}

// accepts reports whether s counts as the secret known: the same credentials, or the same
// object with other credentials while the record has room for them.
func (c credentials) accepts(known, s Secret) bool {
	if known.Hash != "" && known.Hash == s.Hash {
		return true
	}
	same := known.UID == s.UID && known.Namespace == s.Namespace && known.Name == s.Name
	return same && len(c.Secrets) < writeLimit
}
