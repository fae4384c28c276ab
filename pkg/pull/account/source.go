package account

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"stowage/internal/redact"
)

// source is where accounts come from, once it has been read: logins, a file, or a
// variable.
type source struct {
	name string
	note string // why there is nothing in it; "" when there is
	config
}

// place is a file that may contain accounts.
type place struct {
	name     string // of the source
	path     string // "" when no file is named
	flat     bool   // the older form, without auths
	named    bool   // by the user: it must be readable
	required bool   // by the user, as a file: it must exist
}

// places returns the files in their order, from REGISTRY_AUTH_FILE on.
func places(env *Environment) []place {
	found := []place{
		namedPlace("REGISTRY_AUTH_FILE", env.getenv("REGISTRY_AUTH_FILE")),
	}
	inHome := func(elem ...string) string {
		if env.Home == "" {
			return ""
		}
		return filepath.Join(append([]string{env.Home}, elem...)...)
	}
	add := func(p place) {
		if p.name == "" {
			p.name = env.tilde(p.path)
		}
		if p.path != "" {
			found = append(found, p)
		}
	}
	if dir := env.getenv("DOCKER_CONFIG"); dir != "" {
		path := filepath.Join(dir, "config.json")
		add(place{name: "DOCKER_CONFIG " + env.tilde(path), path: path, named: true})
	} else {
		add(place{path: inHome(".docker", "config.json")})
	}
	if dir := env.getenv("XDG_RUNTIME_DIR"); dir != "" {
		add(place{path: filepath.Join(dir, "containers", "auth.json")})
	}
	if env.UID >= 0 {
		add(place{path: filepath.Join("/run/containers", strconv.Itoa(env.UID), "auth.json")})
	}
	if dir := env.getenv("XDG_CONFIG_HOME"); dir != "" {
		add(place{path: filepath.Join(dir, "containers", "auth.json")})
	} else {
		add(place{path: inHome(".config", "containers", "auth.json")})
	}
	add(place{path: inHome(".dockercfg"), flat: true})
	return found
}

// namedPlace returns a file that the user may name by a flag or variable.
func namedPlace(by, path string) place {
	name := by
	if path != "" {
		name += " " + path
	}
	return place{name: name, path: path, named: true, required: true}
}

// tilde shortens a path below the home directory.
func (e *Environment) tilde(path string) string {
	if e.Home == "" {
		return path
	}
	rest, found := strings.CutPrefix(path, strings.TrimRight(e.Home, "/")+"/")
	if !found {
		return path
	}
	return "~/" + rest
}

// read reads a place. For an optional file that is missing it returns a source with a
// note.
func (e *Environment) read(p place) (source, error) {
	s := source{name: p.name}
	if p.path == "" {
		s.note = "not set"
		return s, nil
	}
	data, err := e.readFile(p.path)
	missing := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
	switch {
	case err == nil:
		return s.parse(string(data), p.flat)
	case missing && !p.required:
		s.note = "no such file"
		return s, nil
	case p.named:
		return s, &FileError{Source: s.name, Err: withoutPath(err)}
	default:
		// The home of another user, or a directory that a container runtime made in
		// place of a file: docker continues without it, and so does this package.
		s.note = fmt.Sprintf("cannot be read: %v", withoutPath(err))
		return s, nil
	}
}

// withoutPath removes operation and path of a file error: the source names the file.
func withoutPath(err error) error {
	if wrapped, ok := errors.AsType[*fs.PathError](err); ok {
		return wrapped.Err
	}
	return err
}

// parse parses the content of the source and adds its name to all errors.
func (s source) parse(text string, flat bool) (source, error) {
	var err error
	s.config, err = parseConfig([]byte(text), flat)
	s.sign(err)
	for _, e := range s.entries {
		s.sign(e.err)
	}
	return s, err
}

func (s source) sign(err error) {
	if file, ok := err.(*FileError); ok {
		file.Source = s.name
	}
}

// fromVariable reads DOCKER_AUTH_CONFIG. Unlike docker it accepts any field.
func fromVariable(env *Environment) (source, error) {
	const name = "DOCKER_AUTH_CONFIG"
	s := source{name: name}
	text := env.getenv(name)
	if text == "" {
		s.note = "not set"
		return s, nil
	}
	return s.parse(text, false)
}

// fromLogins returns --creds as a source. Of two for one registry the later wins.
func fromLogins(logins []Login) (source, error) {
	s := source{name: "--creds"}
	if len(logins) == 0 {
		s.note = "not given"
	}
	byKey := map[string]entry{}
	var errs []error
	for _, login := range logins {
		e := entry{
			key:   printable(login.Registry),
			scope: fileScope(login.Registry),
			auth:  Auth{username: redact.New(login.Username), password: login.Password},
		}
		var reason string
		switch {
		case e.scope.host == "":
			reason = "no registry given"
		case login.Username == "":
			reason = "no user name for " + e.key
		case login.Password.Empty():
			reason = "no password for " + e.key
		}
		if reason != "" {
			errs = append(errs, &FileError{Source: s.name, Err: errors.New(reason)})
		}
		byKey[e.scope.String()] = e
	}
	s.entries = sortedValues(byKey)
	return s, errors.Join(errs...)
}
