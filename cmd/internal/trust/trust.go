// Package trust holds the flags and the policy file that say which bundles a program accepts.
package trust

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/pflag"
	"gopkg.in/yaml.v3"

	"stowage/cmd/internal/cli"
	"stowage/pkg/archive"
	"stowage/pkg/signature"
)

// PolicyFile is the policy of a node. No flag takes back what it demands.
const PolicyFile = "/etc/stowage/policy.yaml"

// Demand is what a bundle must fulfil before anything of it is used. The zero value demands
// nothing.
type Demand struct {
	identity   string
	keys       []string
	signatures []string
	policy     *policy
}

// policy is the content of a policy file.
type policy struct {
	Keys     []string `yaml:"keys"`            // files of public keys, one of which must have signed
	Revoked  []string `yaml:"revoked"`         // files of public keys that no longer count
	Images   []string `yaml:"images"`          // patterns of the names that a bundle may bring
	Sequence int64    `yaml:"minimumSequence"` // of the signature
}

// AddFlags adds the flags.
func (d *Demand) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&d.identity, "identity", "", "")
	fs.StringArrayVar(&d.keys, "verify-key", nil, "")
	fs.StringArrayVar(&d.signatures, "signature", nil, "")
}

// ReadPolicy adds what the policy file at path demands. Without the file it does nothing. A
// file that others than its owner can write is refused, and so is an unknown field: a
// misspelt one would demand nothing.
func (d *Demand) ReadPolicy(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return cli.Errorf(cli.Damaged, "policy: %w", err)
	}
	defer f.Close() // only read from
	info, err := f.Stat()
	if err != nil {
		return cli.Errorf(cli.Damaged, "policy: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return cli.Errorf(cli.Damaged, "policy %s: others can write it (mode %04o)", path, mode).WithHint("chmod go-w %s", cli.Quote(path))
	}
	p := &policy{}
	dec := yaml.NewDecoder(f)
	dec.KnownFields(true)
	if err := dec.Decode(p); err != nil && !errors.Is(err, io.EOF) {
		return cli.Errorf(cli.Damaged, "policy %s: %w", path, err)
	}
	if len(p.Keys) == 0 && p.Sequence > 0 {
		return cli.Errorf(cli.Damaged, "policy %s: minimumSequence is part of a signature: add keys", path)
	}
	for _, list := range [][]string{p.Keys, p.Revoked} {
		for i, file := range list {
			if !filepath.IsAbs(file) {
				list[i] = filepath.Join(filepath.Dir(path), file)
			}
		}
	}
	for _, pattern := range p.Images {
		if _, err := matches(pattern, ""); err != nil {
			return cli.Errorf(cli.Damaged, "policy %s: image pattern %q: %w", path, pattern, err)
		}
	}
	d.policy = p
	return nil
}

// matches reports whether a name matches a pattern of path.Match, in which "*" stands for any
// text within one part of a path. "/*" at the end stands for any number of parts. The looser
// patterns of --exclude, which also match a name without its registry, would allow too much.
func matches(pattern, name string) (bool, error) {
	ok, err := path.Match(pattern, name)
	prefix, all := strings.CutSuffix(pattern, "/*")
	if ok || err != nil || !all {
		return ok, err
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if ok, err = path.Match(prefix, dir); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// Asks reports whether there is anything to check.
func (d *Demand) Asks() bool {
	return d.identity != "" || len(d.keys) > 0 || d.policy != nil
}

// CheckFlags refuses flags that contradict each other.
func (d *Demand) CheckFlags(files []string) error {
	if d.identity != "" {
		if err := digest.Digest(d.identity).Validate(); err != nil {
			return cli.Usagef("--identity %s: want sha256: and 64 hexadecimal digits", d.identity).WithHint("\"bundle inspect FILE\" prints the identity of a bundle")
		}
		if len(files) > 1 {
			return cli.Usagef("--identity is that of one bundle, got %d", len(files))
		}
	}
	if len(d.signatures) > 0 && len(d.keys) == 0 && d.policy == nil {
		return cli.Usagef("--signature without --verify-key checks nothing").WithHint("name the public key with --verify-key FILE")
	}
	return nil
}

// Check returns an error unless the bundle, which was read from file, is accepted. Without a
// reader the input has no identity to check before its end: it is another program's stream.
// The result is nil when no signature was asked for.
func (d *Demand) Check(file string, r *archive.Reader) (*signature.Verified, error) {
	if !d.Asks() {
		return nil, nil
	}
	if r == nil {
		return nil, cli.Errorf(cli.Damaged, "%s: the identity of another program's tarball is known only at its end, so it cannot be checked before it is used", file).
			WithHint("save it to a file first and load the file")
	}
	if d.identity != "" && r.Digest().String() != d.identity {
		return nil, cli.Errorf(cli.Damaged, "%s: identity %s, want %s", file, r.Digest(), d.identity).WithHint("this is another bundle than the one that was named; nothing of it was used")
	}
	if d.policy != nil {
		if err := d.policy.checkNames(file, r); err != nil {
			return nil, err
		}
	}
	return d.checkSignature(file, r.Digest())
}

// checkNames refuses names that the policy does not allow.
func (p *policy) checkNames(file string, r *archive.Reader) error {
	if len(p.Images) == 0 {
		return nil
	}
	for _, img := range r.Images() {
		allowed := func(pattern string) bool { ok, _ := matches(pattern, img.Name); return ok }
		if !slices.ContainsFunc(p.Images, allowed) {
			return cli.Errorf(cli.Damaged, "%s: the policy of this node does not allow the image %s", file, img.Name).
				WithHint("\"images\" in %s lists the patterns that are allowed", PolicyFile)
		}
	}
	return nil
}

// checkSignature demands a signature by a key of the flags and one by a key of the policy.
func (d *Demand) checkSignature(file string, identity digest.Digest) (v *signature.Verified, err error) {
	var demands []signature.Policy
	if d.policy != nil && len(d.policy.Keys) > 0 {
		p := signature.Policy{Sequence: d.policy.Sequence}
		if p.Keys, err = readKeys(d.policy.Keys); err != nil {
			return nil, err
		}
		demands = append(demands, p)
	}
	if len(d.keys) > 0 {
		keys, err := readKeys(d.keys)
		if err != nil {
			return nil, err
		}
		demands = append(demands, signature.Policy{Keys: keys})
	}
	if len(demands) == 0 {
		return nil, nil
	}
	signatures, err := d.read(file)
	if err != nil {
		return nil, err
	}
	for _, p := range demands {
		if d.policy != nil {
			if p.Revoked, err = readKeys(d.policy.Revoked); err != nil {
				return nil, err
			}
		}
		if v, err = p.Verify(identity, signatures); err != nil {
			return nil, untrusted(file, err)
		}
	}
	return v, nil
}

// untrusted returns the error of a bundle without an accepted signature.
func untrusted(file string, err error) error {
	e := cli.Errorf(cli.Damaged, "%s: %w", file, err)
	var known *signature.Error
	if errors.As(err, &known) && known.Reason == signature.Unsigned {
		if file == "-" {
			return e.WithHint("name the signature with --signature FILE")
		}
		return e.WithHint("copy the signature beside it (%s), or name it with --signature FILE", cli.Quote(filepath.Base(file)+signature.SigstoreSuffix))
	}
	return e.WithHint("nothing of it was used; ask the one who made the bundle for its signature")
}

// read returns the signatures that were named, or those beside the file.
func (d *Demand) read(file string) ([]signature.Signature, error) {
	if len(d.signatures) == 0 {
		if file == "-" {
			return nil, nil
		}
		all, err := signature.ReadBeside(file)
		return all, fileError("read the signature", err)
	}
	var all []signature.Signature
	for _, name := range d.signatures {
		s, err := signature.Read(name)
		if err != nil {
			return nil, fileError("read the signature", err)
		}
		all = append(all, *s)
	}
	return all, nil
}

func readKeys(files []string) ([]signature.Key, error) {
	var all []signature.Key
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, fileError("read a key", err)
		}
		keys, err := signature.ParseKeys(file, raw)
		if err != nil {
			return nil, cli.Errorf(cli.Damaged, "%w", err)
		}
		all = append(all, keys...)
	}
	return all, nil
}

// fileError returns the error of a file without which nothing is trusted.
func fileError(what string, err error) error {
	if err == nil {
		return nil
	}
	return cli.Errorf(cli.Damaged, "%w", fmt.Errorf("%s: %w", what, err))
}
