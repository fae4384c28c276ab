package why

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// sentences say what a failed pull means. %s is the registry or the host that was reached.
var sentences = map[Kind]string{
	PullLimit:     "the pull limit of %s is used up (429)",
	RequestRate:   "%s refuses further requests from this address (429): its limit of requests per minute is reached, not that of pulls",
	KubeletRate:   "the kubelet limits its own pulls (registryPullQPS), and tries again by itself",
	DNS:           "this node cannot look up %s",
	UnknownCA:     "this node does not trust the authority that signed the certificate of %s",
	CertExpired:   "the certificate of %s is not valid at the time of this node's clock",
	CertName:      "the certificate of %s is for another name",
	Certificate:   "the TLS connection to %s was refused",
	PlainHTTP:     "%s does not speak TLS, and containerd asks it by HTTPS",
	Refused:       "%s refuses the credentials, or wants some",
	NotFound:      "%s does not have it",
	Unreachable:   "this node does not reach %s",
	RegistryFault: "%s answers with an error of its own",
	Signature:     "the image policy of this node refuses it",
	Unsupported:   "containerd does not read this form of image any more",
}

// advice are words before the cure that every failed pull has: to bring the image.
var advice = map[Kind]string{
	RequestRate: "it passes by itself; or ",
	CertExpired: "check the clock with date; or ",
	NotFound:    "check the name and the tag; or ",
	Signature:   "bring it without a pull, if that is allowed here; ",
}

// failedPull explains an image that is not there by the failure of its pull.
func failedPull(s *subject) (string, Cure) {
	kind, why := s.failure()
	sentence, known := sentences[kind]
	if !known || !s.missing() || s.Policy == "Never" && s.answers[s.image].err == "" {
		return "", nil
	}
	text := sentence
	if strings.Contains(sentence, "%s") {
		text = fmt.Sprintf(sentence, s.registry(why))
	}
	if kind == Refused && len(s.secrets) == 0 {
		text += "; the pod has no imagePullSecrets"
	}
	if kind == PullLimit && registryOf(s.names[0]) == "docker.io" {
		text += "; Docker Hub renews it within 6 hours"
	}
	text += s.answers[s.image].quota.String()
	if why != "" {
		text += fmt.Sprintf(": %q", ending(why))
	}
	return text, s.cureOf(kind)
}

// cureOf returns the cure of a failed pull.
func (s *subject) cureOf(kind Kind) Cure {
	cure := s.bring()
	words := advice[kind]
	switch {
	case kind == UnknownCA && s.hostsDir != "":
		words = fmt.Sprintf("name the authority's file as ca in %s/%s/hosts.toml; or ", s.hostsDir, registryOf(s.names[0]))
	case kind == PlainHTTP && s.hostsDir != "":
		words = fmt.Sprintf("name it with http:// in %s/%s/hosts.toml; or ", s.hostsDir, registryOf(s.names[0]))
	}
	cure[0].Say = words + cure[0].Say
	return cure
}

// registry names the registry of the image, with the host that a text is about if that is
// another one: a mirror, a token server.
func (s *subject) registry(text string) string {
	registry := registryOf(s.names[0])
	if host := hostOf(text); host != "" && host != registry {
		return fmt.Sprintf("%s (%s)", registry, host)
	}
	return registry
}

// String returns what is known of the limit, as the end of a sentence.
func (q quota) String() string {
	if !q.known {
		return ""
	}
	text := fmt.Sprintf("; %d of %d pulls left", max(q.remaining, 0), q.limit)
	if q.window > 0 {
		text += " in " + period(q.window)
	}
	if q.retry > 0 {
		text += ", again in " + period(q.retry)
	}
	return text
}

// period writes a duration in the largest unit that divides it.
func period(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{time.Hour, "hours"}, {time.Minute, "minutes"}, {time.Second, "seconds"}} {
		if n := d / unit.length; n > 0 && d%unit.length == 0 {
			return strconv.FormatInt(int64(n), 10) + " " + unit.name
		}
	}
	return d.String()
}
