package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"

	"stowage/cmd/internal/cli"
	"stowage/pkg/archive"
	"stowage/pkg/pull"
)

// outcome gives an error its exit code and the hint that goes with its type.
func outcome(err error) *cli.Error {
	var done *cli.Error
	if errors.As(err, &done) {
		return done
	}
	code, hint := explain(err)
	return &cli.Error{Code: code, Err: err, Hint: hint}
}

// explain decides on types, never on text. Where several images met different faults,
// the one that the user can act on first decides.
func explain(err error) (code int, hint string) {
	var (
		auth     *pull.AuthError
		rate     *pull.RateLimitError
		insecure *pull.InsecureError
		missing  *pull.NotFoundError
		platform *pull.NoPlatformError
		old      *pull.UnsupportedError
		content  *pull.ContentError
		space    *archive.SpaceError
	)
	switch {
	case errors.As(err, &auth):
		return cli.Refused, authHint(auth)
	case errors.As(err, &rate):
		return cli.RateLimited, rateHint(rate)
	case errors.As(err, &insecure):
		return cli.Failed, fmt.Sprintf("if plain HTTP is meant, allow it with --insecure %s", insecure.Host)
	case errors.Is(err, archive.ErrDamaged):
		return cli.Damaged, "" // the error says what to do, by what is wrong
	case errors.As(err, &space) && space.Path == os.TempDir():
		return cli.Failed, "a compressed bundle is unpacked there; choose another place with TMPDIR"
	case errors.As(err, &space), errors.Is(err, syscall.ENOSPC):
		return cli.Failed, "free some space, or choose another place with -o; what was got is kept"
	case errors.As(err, &content):
		return cli.Failed, "ask whoever runs that registry; nothing of these bytes was kept"
	case errors.Is(err, fs.ErrPermission):
		return cli.Failed, "choose a place that you may write to with -o"
	case onlyMissing(err):
		switch {
		case errors.As(err, &platform):
			return cli.Incomplete, "choose a platform that the image has with --platform"
		case errors.As(err, &old):
			return cli.Incomplete, "push the image again with a current docker, podman or crane: containerd 2 cannot run Docker's schema 1 either"
		case errors.As(err, &missing):
			return cli.Incomplete, missingHint(missing)
		}
		return cli.Incomplete, ""
	}
	if network := (*net.OpError)(nil); errors.As(err, &network) {
		return cli.Failed, "check the network, and HTTPS_PROXY if there is a proxy; what was got is kept, the same command goes on from there"
	}
	return cli.Failed, ""
}

// onlyMissing reports whether every fault in err is an image that cannot be had, as
// opposed to one that could not be asked for.
func onlyMissing(err error) bool { return every(err, isMissing) }

func isMissing(err error) bool {
	switch err.(type) {
	case *pull.NotFoundError, *pull.NoPlatformError, *pull.UnsupportedError:
		return true
	}
	return false
}

// onlyHidden is onlyMissing where a registry may also refuse to say so: to a login that it
// gives other images, it denies this one. Whether that exists nobody but its owner is told.
func onlyHidden(err error) bool {
	return every(err, func(err error) bool {
		refused, ok := err.(*pull.AuthError)
		return isMissing(err) || ok && refused.Alone()
	})
}

// every reports whether is holds for each fault that err joins, or for what one wraps.
func every(err error, is func(error) bool) bool {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			if !every(e, is) {
				return false
			}
		}
		return true
	}
	if is(err) {
		return true
	}
	one := errors.Unwrap(err)
	return one != nil && every(one, is)
}

// missingHint tells a name that may be wrong from one that cannot be: what is asked for by
// its digest has been there once.
func missingHint(e *pull.NotFoundError) string {
	switch pinned := strings.HasSuffix(e.Name, "@"+e.Digest.String()); {
	case e.Digest == "":
		return "check the name and the tag; leave the image out with --exclude"
	case pinned && !e.Blob:
		return "the registry serves this digest no more: make a new lock file with \"bundle scan --pin\", or take the image from an older bundle with --reuse"
	}
	return "the registry has lost a part of the image: push it again, take it from an older bundle with --reuse, or do without it with --keep-going"
}

func authHint(e *pull.AuthError) string {
	if e.Source == "" {
		return fmt.Sprintf("log in with \"docker login %s\", or add a pull secret for it with -f, and run the same command again", loginHost(e.Host))
	}
	return fmt.Sprintf("check the account in %s; --explain-auth says which one each image uses", e.Source)
}

func loginHost(host string) string {
	if host == "registry-1.docker.io" {
		return "docker.io"
	}
	return host
}

func rateHint(e *pull.RateLimitError) string {
	if e.Source == "" {
		return fmt.Sprintf("anonymous pulls are limited per address: log in with \"docker login %s\"; everything got so far is kept, the same command goes on from there", loginHost(e.Host))
	}
	return "everything got so far is kept: run the same command again when the limit is renewed, add --wait 6h to sit it out, or use another account"
}
