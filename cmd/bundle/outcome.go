package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"stowage/cmd/internal/cli"
	"stowage/internal/fsutil"
	"stowage/pkg/archive"
	"stowage/pkg/bundle"
	"stowage/pkg/pull"
)

// outcome returns err with its exit code and the hint for its type.
func outcome(err error) *cli.Error {
	var done *cli.Error
	if errors.As(err, &done) {
		return done
	}
	e := &cli.Error{Err: once(err)}
	var ok bool
	for _, explain := range []func(error) (int, string, bool){ofRequest, ofRegistry, ofFile, ofMissing} {
		if e.Code, e.Hint, ok = explain(err); ok {
			return e
		}
	}
	e.Code = cli.Failed
	if network := (*net.OpError)(nil); errors.As(err, &network) {
		e.Hint = "check the network, and HTTPS_PROXY if there is a proxy; what was fetched is kept, and the same command resumes"
	}
	return e
}

// sameAnswer is the answer of a registry at its pull limit to the requests for several
// images.
type sameAnswer struct {
	text string
	errs []error
}

func (e *sameAnswer) Error() string   { return e.text }
func (e *sameAnswer) Unwrap() []error { return e.errs }

// once returns err with one error for all images that a pull limit kept from being fetched.
func once(err error) error {
	var out []error
	same := map[string]*sameAnswer{} // by the answer
	names := map[*sameAnswer][]string{}
	for _, one := range leaves(err) {
		rate := (*pull.RateLimitError)(nil)
		answer, ok := "", errors.As(one, &rate)
		if ok {
			answer, ok = strings.CutPrefix(one.Error(), rate.Name+": ")
		}
		if !ok {
			out = append(out, one)
			continue
		}
		group := same[answer]
		if group == nil {
			group = &sameAnswer{text: one.Error()}
			same[answer] = group
			out = append(out, group)
		}
		group.errs, names[group] = append(group.errs, one), append(names[group], rate.Name)
		if n := len(group.errs); n > 1 {
			group.text = fmt.Sprintf("%d images: %s; not fetched: %s", n, answer, strings.Join(names[group], ", "))
		}
	}
	if len(out) == len(leaves(err)) {
		return err
	}
	return errors.Join(out...)
}

// leaves returns the errors that err joins.
func leaves(err error) []error {
	many, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, one := range many.Unwrap() {
		out = append(out, leaves(one)...)
	}
	return out
}

// The functions below decide on types, never on text. When several images met different
// faults, the one that the user can act on first decides: that is their order.

// ofRequest explains what bundle.Make refuses.
func ofRequest(err error) (code int, hint string, ok bool) {
	var (
		name       *bundle.NameError
		output     *bundle.OutputError
		flat       *bundle.FlatDigestError
		pulls      *bundle.MaxPullsError
		incomplete *bundle.IncompleteError
	)
	switch {
	case errors.As(err, &name):
		return cli.Usage, "name an image as [REGISTRY/]REPOSITORY[:TAG][@DIGEST]", true
	case errors.As(err, &output):
		return cli.Usage, "choose another name for the new bundle with -o", true
	case errors.As(err, &flat):
		return cli.Usage, flatHint(flat), true
	case errors.As(err, &pulls):
		return cli.RateLimited, fmt.Sprintf("allow them with --max-pulls %d, or take them from an older bundle with --reuse", pulls.Need), true
	case errors.As(err, &incomplete) && !incomplete.Written && len(incomplete.Skipped) < incomplete.Images:
		return cli.Incomplete, "exclude them with --exclude, or drop --strict", true
	case errors.As(err, &incomplete):
		return cli.Incomplete, "", true
	}
	return 0, "", false
}

// ofRegistry explains refusals.
func ofRegistry(err error) (code int, hint string, ok bool) {
	var (
		auth     *pull.AuthError
		rate     *pull.RateLimitError
		insecure *pull.InsecureError
		cert     *pull.CertificateError
		proxy    *pull.ProxyError
		page     *pull.PageError
	)
	switch {
	case bundle.IsMissing(err):
		return 0, "", false // also a refusal that means only that
	case errors.As(err, &auth):
		return cli.Refused, authHint(auth), true
	case errors.As(err, &rate):
		return cli.RateLimited, rateHint(rate), true
	case errors.As(err, &insecure):
		return cli.Failed, fmt.Sprintf("if plain HTTP is intended, allow it with --insecure %s", insecure.Host), true
	case errors.As(err, &cert):
		return cli.Failed, certificateHint(cert), true
	case errors.As(err, &proxy):
		return cli.Failed, proxyHint(proxy), true
	case errors.As(err, &page):
		return cli.Failed, "something between this machine and the registry may answer in its place, or it wants a login: check HTTPS_PROXY and NO_PROXY, and open its address in a browser", true
	}
	return 0, "", false
}

// ofFile explains faults of files, disks and bytes.
func ofFile(err error) (code int, hint string, ok bool) {
	var (
		space   *archive.SpaceError
		temp    *archive.TempError
		foreign *fsutil.NotOwnError
	)
	switch {
	case errors.Is(err, archive.ErrDamaged):
		return cli.Damaged, "", true // the error contains its advice
	case errors.As(err, &temp), errors.As(err, &space) && space.Path == os.TempDir():
		return cli.Failed, "a compressed bundle is decompressed there; choose another directory with TMPDIR", true
	case errors.As(err, &space), errors.Is(err, syscall.ENOSPC):
		return cli.Failed, "free some space, or choose another disk with -o; what was fetched is kept", true
	case errors.As(err, &foreign):
		return cli.Failed, "another user may have prepared it: remove it, or write the bundle to a directory of your own with -o", true
	case errors.Is(err, fs.ErrPermission):
		return cli.Failed, "choose a directory that you may write to with -o", true
	}
	return 0, "", false
}

// ofMissing explains images that are not available, when nothing else went wrong.
func ofMissing(err error) (code int, hint string, ok bool) {
	var (
		missing  *pull.NotFoundError
		hidden   *bundle.HiddenError
		platform *pull.NoPlatformError
		unusable *pull.UnsupportedError
		content  *pull.ContentError
		panicked *pull.PanicError
	)
	switch {
	case !bundle.IsMissing(err):
		return 0, "", false
	case errors.As(err, &panicked):
		hint = "this is a bug in bundle: please report it with the error above"
	case errors.As(err, &hidden):
		hint = "check the name; if the image is private, its owner must give this account access"
	case errors.As(err, &platform):
		hint = "choose a platform that the image has with --platform"
	case errors.As(err, &unusable) && unusable.MediaType == schema1:
		hint = "push the image again with a current docker, podman or crane: containerd 2 cannot run Docker's schema 1 either"
	case errors.As(err, &unusable):
		hint = "push the image again: no node can run it as it is"
	case errors.As(err, &content):
		hint = "report it to the operator of that registry; none of these bytes were kept"
	case errors.As(err, &missing):
		hint = missingHint(missing)
	}
	return cli.Incomplete, hint + without(bundle.Failed(err)), true
}

// schema1 is the media type of the manifests that containerd no longer runs.
const schema1 = string(types.DockerManifestSchema1)

// without says how to make the bundle without some images.
func without(names []string) string {
	const few = 3
	if len(names) == 0 {
		return ""
	}
	if len(names) > few {
		return "; write the rest with --keep-going"
	}
	return "; leave it out with --exclude " + strings.Join(names, " --exclude ") + ", or write the rest with --keep-going"
}

// flatHint names the manifest of the index that is probably meant.
func flatHint(e *bundle.FlatDigestError) string {
	named, err := reference.ParseNormalizedNamed(e.Name)
	if err != nil || e.Manifest == "" {
		return "name the digest of one platform's manifest instead, or drop --flat"
	}
	return fmt.Sprintf("name the manifest %s@%s instead, or drop --flat", named.Name(), e.Manifest)
}

// missingHint distinguishes a name that may be wrong from a digest, which existed once.
func missingHint(e *pull.NotFoundError) string {
	switch locked := strings.HasSuffix(e.Name, "@"+e.Digest.String()); {
	case e.Digest == "":
		return "check the name and the tag"
	case locked && !e.Blob:
		return "the registry no longer has this digest: make a new lock file with \"bundle scan --pin\", or take the image from an older bundle with --reuse"
	}
	return "the registry has lost a part of the image: push it again, or take it from an older bundle with --reuse"
}

// certificateHint names the flags for a TLS connection that was refused.
func certificateHint(e *pull.CertificateError) string {
	var authority x509.UnknownAuthorityError
	switch {
	case e.Client:
		return "give the client certificate with --hosts-dir (\"client\" in hosts.toml) or --registries (\"tls\" in registries.yaml)"
	case errors.As(e.Err, &authority):
		return fmt.Sprintf("give the certificate of its authority with --ca-file FILE (or \"ca\" in a hosts.toml of --hosts-dir), or accept any with --insecure %s", e.Host)
	}
	return fmt.Sprintf("correct the certificate or this machine's clock, or accept any certificate with --insecure %s", e.Host)
}

// proxyHint says where the proxy is set, and what its answer is about.
func proxyHint(e *pull.ProxyError) string {
	change := "correct it"
	switch {
	case e.Status == http.StatusProxyAuthRequired:
		change = "give its account as http://USER:PASSWORD@HOST"
	case e.Status >= 500:
		change = "it does not reach the registry either"
	case e.Status > 0:
		change = "ask for the registry to be allowed there"
	}
	return fmt.Sprintf("the proxy is from HTTPS_PROXY or HTTP_PROXY: %s, or connect without it with NO_PROXY=%s", change, hostname(e.Host))
}

// hostname returns a host without its port.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}

func authHint(e *pull.AuthError) string {
	if e.Unsent != "" {
		return fmt.Sprintf("nothing is known to be wrong with the account in %s: the registry or a proxy refused before it was asked for", e.Unsent)
	}
	if e.Source == "" {
		return fmt.Sprintf("log in with \"docker login %s\", or add a pull secret for it with -f, and run the same command again", loginHost(e.Host))
	}
	return fmt.Sprintf("check the account in %s; --explain-auth shows which account each image uses", e.Source)
}

func rateHint(e *pull.RateLimitError) string {
	if !e.Reset.IsZero() && !e.Quota.Known {
		hours := int(time.Until(e.Reset).Hours()) + 1
		return fmt.Sprintf("everything fetched so far is kept: run the same command again at that time, or wait for it with --wait %dh", hours)
	}
	if e.Source == "" {
		return fmt.Sprintf("anonymous pulls are limited per address: log in with \"docker login %s\"; everything fetched so far is kept, and the same command resumes", loginHost(e.Host))
	}
	return "everything fetched so far is kept: run the same command again when the limit resets, wait for it with --wait 6h, or use another account"
}

// loginHost returns the name by which docker login knows a registry.
func loginHost(host string) string {
	if host == "registry-1.docker.io" {
		return "docker.io"
	}
	return host
}
