//go:build linux

package main

import (
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"stowage/cmd/internal/cli"
	"stowage/pkg/archive"
	"stowage/pkg/node"
)

// addNames reads the values of --name: NAME, or DIGEST=NAME.
func (s *settings) addNames(values []string) error {
	if len(values) > 0 && len(s.files) > 1 {
		return cli.Usagef("--name is for one file, got %s", strings.Join(s.files, " "))
	}
	for _, value := range values {
		var d digest.Digest
		name := value
		if before, after, ok := strings.Cut(value, "="); ok {
			d, name = digest.Digest(before), after
			if err := d.Validate(); err != nil {
				return cli.Usagef("--name %s: %s before the = is no digest", value, before)
			}
		}
		if _, err := archive.Names(name); err != nil {
			return cli.Usagef("--name %s: %v", value, err)
		}
		if s.load.Names[d] != "" {
			return cli.Usagef("--name %s: there is another name already; for several images write DIGEST=NAME", value)
		}
		if s.load.Names == nil {
			s.load.Names = map[digest.Digest]string{}
		}
		s.load.Names[d] = name
	}
	return nil
}

// nameHint returns the command that names images.
func (s *settings) nameHint(e *node.NamelessError) string {
	if len(e.Images) == 0 {
		return "nothing was loaded: make the file again, with an image in it"
	}
	command := "load " + s.file
	for i, n := range e.Images {
		tag := n.Tag
		if _, err := archive.Names("name:" + tag); err != nil || tag == "" {
			tag = "TAG"
		}
		if of := n.Target.Digest.String() + "="; len(e.Images) > 1 {
			command += fmt.Sprintf(" --name %sREGISTRY/NAME%d:%s", of, i+1, tag)
		} else {
			command += " --name REGISTRY/NAME:" + tag
		}
	}
	return "nothing was loaded: run \"" + command + "\" with the names that pods use"
}
