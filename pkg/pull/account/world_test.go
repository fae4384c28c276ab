package account

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"stowage/internal/redact"
)

// world is the machine of a test.
type world struct {
	vars    map[string]string
	files   map[string]string
	errs    map[string]error             // of reading a path
	plain   error                        // of reading any path
	helpers map[string]map[string]string // program -> server -> answer

	mu    sync.Mutex
	asked []string // "program server"
}

func (w *world) environment() *Environment {
	return &Environment{
		Getenv: func(name string) string { return w.vars[name] },
		Home:   "/home/u",
		UID:    1000,
		ReadFile: func(path string) ([]byte, error) {
			if w.plain != nil {
				return nil, w.plain
			}
			if err := w.errs[path]; err != nil {
				return nil, &fs.PathError{Op: "open", Path: path, Err: err}
			}
			text, ok := w.files[path]
			if !ok {
				return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
			}
			return []byte(text), nil
		},
		Helper: w.runHelper,
	}
}

// runHelper answers from a table. "!" and a text is a failure that writes it.
func (w *world) runHelper(_ context.Context, program, action string, input io.Reader) ([]byte, error) {
	raw, _ := io.ReadAll(input)
	server := string(raw)
	w.mu.Lock()
	w.asked = append(w.asked, program+" "+server)
	w.mu.Unlock()
	if action != "get" {
		return nil, fmt.Errorf("action %q", action)
	}
	servers, ok := w.helpers[program]
	if !ok {
		return nil, &exec.Error{Name: program, Err: exec.ErrNotFound}
	}
	answer, ok := servers[server]
	if !ok {
		return []byte("credentials not found in native keychain\n"), errors.New("exit status 1")
	}
	if text, failed := strings.CutPrefix(answer, "!"); failed {
		return []byte(text), errors.New(text)
	}
	return []byte(answer), nil
}

// auths writes a config file: pairs of key and user; the password is "pw-"+user.
func auths(pairs ...string) string { return `{"auths":` + flat(pairs...) + `}` }

func flat(pairs ...string) string {
	var members []string
	for i := 0; i < len(pairs); i += 2 {
		members = append(members, fmt.Sprintf("%q:{\"auth\":%q}", pairs[i], encode(pairs[i+1])))
	}
	return "{" + strings.Join(members, ",") + "}"
}

func encode(user string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":pw-" + user))
}

func login(registry, user string) Login {
	return Login{Registry: registry, Username: user, Password: redact.New("pw-" + user)}
}

func pullSecret(namespace, name string, pairs ...string) Secret {
	return Secret{Namespace: namespace, Name: name, Type: DockerConfigJSON, Payload: redact.New(auths(pairs...))}
}

func load(t *testing.T, w *world, opts Options) *Store {
	t.Helper()
	opts.Environment = w.environment()
	s, err := Load(opts)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return s
}

// users returns "user source" for each account. It also checks that the password belongs
// to the user: no entry may take one from another.
func users(t *testing.T, s *Store, repo string, secrets ...string) []string {
	t.Helper()
	accounts, err := s.For(t.Context(), repo, secrets)
	if err != nil {
		t.Fatalf("For(%s): %v", repo, err)
	}
	var got []string
	for _, a := range accounts {
		cfg, err := a.Auth.Authorization()
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case cfg.Username != "" && cfg.Password != "pw-"+cfg.Username:
			t.Errorf("%s: %s has the password of another user", repo, cfg.Username)
		case cfg.Username == "":
			cfg.Username = "token " + cfg.IdentityToken + cfg.RegistryToken
		}
		got = append(got, cfg.Username+" "+a.Source)
	}
	return got
}

// only removes the sources from the result of users.
func only(list []string) string {
	var names []string
	for _, s := range list {
		user, _, _ := strings.Cut(s, " ")
		names = append(names, user)
	}
	return strings.Join(names, " ")
}

const dockerConfig = "/home/u/.docker/config.json"

func withFile(path, text string) *world {
	return &world{files: map[string]string{path: text}}
}

func (w *world) plus(files map[string]string) *world {
	if w.files == nil {
		w.files = map[string]string{}
	}
	maps.Copy(w.files, files)
	return w
}
