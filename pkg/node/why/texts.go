package why

import (
	"strings"

	"stowage/internal/lazy"
)

// shape is the text of a failed pull. One of the words is in it.
type shape struct {
	kind  Kind
	words []string
}

// shapes are the texts of containerd and the kubelet, the more specific before those that
// wrap them. Names and addresses are cut out before a text is compared with them.
var shapes = []shape{
	{DiskFull, []string{"no space left on device", "disk quota exceeded"}},
	{WrongPlatform, []string{"no match for platform in manifest", "no matching manifest for", "exec format error"}},
	{KubeletRate, []string{"pull qps exceeded"}},
	{PullLimit, []string{"pull rate limit", "increase-rate-limit"}},
	{RequestRate, []string{"429 too many requests", "toomanyrequests"}},
	{PlainHTTP, []string{"server gave http response to https client"}},
	{CertExpired, []string{"certificate has expired or is not yet valid"}},
	{UnknownCA, []string{"certificate signed by unknown authority"}},
	{CertName, []string{"x509: certificate is valid for", "x509: certificate is not valid for any names", "doesn't contain any ip sans", "relies on legacy common name"}},
	{Certificate, []string{"x509: ", "tls: failed to verify certificate", "tls: bad certificate", "tls: certificate required", "remote error: tls: "}},
	{DNS, []string{"no such host", "server misbehaving", "name resolution", "dial tcp: lookup "}},
	{Signature, []string{"signaturevalidationfailed", "signature validation failed", "image verifier"}},
	{Unsupported, []string{"is no longer supported since containerd"}},
	{Refused, []string{"401 unauthorized", "403 forbidden", "pull access denied", "insufficient_scope", "authorization failed", "no basic auth credentials", "unauthorized: ", "denied: "}},
	{NotFound, []string{"404 not found", "manifest unknown", "manifest_unknown", "name_unknown", "410 gone", ": not found"}},
	{RegistryFault, []string{"500 internal server error", "502 bad gateway", "503 service unavailable", "504 gateway timeout"}},
	{Unreachable, []string{
		"connection refused", "no route to host", "network is unreachable", "host is unreachable", "i/o timeout", "connection timed out",
		"client.timeout exceeded", "deadline exceeded", "tls handshake timeout", "connection reset by peer", "timeout awaiting response headers",
		"unexpected eof", ": eof", "proxyconnect", "registry is unavailable",
	}},
}

var (
	quoted  = lazy.Regexp(`"(?:[^"\\]|\\.)*"`)
	address = lazy.Regexp(`https?://[^\s"]+`)
	dialled = lazy.Regexp(`(?:request to |Head "|Get "|Post ")https?://([^/\s"?]+)`)
	object  = lazy.Regexp(`^(?:(?:[A-Z][a-z]+ )?"[^"]*": |failed to copy: |httpReadSeeker: failed open: |unexpected status from [A-Z]+ request to \S+: )+`)
	lookup  = lazy.Regexp(`lookup ([^\s:]+)(?: on |: )`)
)

// classify returns the kind of failure that a message of the kubelet or an error of
// containerd's resolver reports, or "". A name in it does not count: an image may be called
// "429".
func classify(message string) Kind {
	limit := strings.Contains(message, "increase-rate-limit") // the address at the end of Docker Hub's answer
	text := strings.ToLower(address().ReplaceAllString(quoted().ReplaceAllString(message, "NAME"), "ADDRESS"))
	for _, s := range shapes {
		for _, w := range s.words {
			if strings.Contains(text, w) {
				if s.kind == RequestRate && limit {
					return PullLimit
				}
				return s.kind
			}
		}
	}
	return ""
}

// hostOf returns the host that a failed pull was about, or "". The last address is that of the
// request that failed, after redirects and tokens.
func hostOf(message string) string {
	if m := lookup().FindStringSubmatch(message); m != nil {
		return m[1]
	}
	if all := dialled().FindAllStringSubmatch(message, -1); len(all) > 0 {
		host := all[len(all)-1][1]
		return host[strings.LastIndexByte(host, '@')+1:] // without an account
	}
	return ""
}

// ending returns the end of a message, which names the cause: what precedes it repeats the
// image's name.
func ending(message string) string {
	message = strings.Join(strings.Fields(message), " ")
	for _, cut := range []string{"failed to do request: ", "failed to resolve reference ", "failed to resolve image: ", "failed to pull and unpack image ", "failed to pull image "} {
		if i := strings.LastIndex(message, cut); i >= 0 {
			message = message[i+len(cut):]
			return message[len(object().FindString(message)):]
		}
	}
	return message
}
