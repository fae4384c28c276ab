package account

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"stowage/internal/redact"
)

// FuzzConfig feeds docker configs and payloads of secrets.
func FuzzConfig(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, `[]`, `"x"`, "\ufeff{}", `{"auths":null}`,
		auths("quay.io", "u", "https://index.docker.io/v1/", "v", "*.io", "w"),
		flat("quay.io", "u", "docker.io/calico", "v"),
		`{"auths":{"h":{"auth":"dTpw"},"i":{"identitytoken":"t"},"j":{"registrytoken":"r"},"k":7,"l":null}}`,
		`{"auths":{"h":{"username":"u","password":"p","auth":"?"}},"credHelpers":{"a":"b","c":""},"credsStore":"pass"}`,
		`{"auths":{"h":{"auth":"dTpw"},"h":{}},"AUTHS":{},"x":[[[[{}]]]]}`,
		`{"auths":{"https://u:p@h:1/v2/x?y#z":{"auth":"dTpw"},"[::1]":{"auth":"dTpw"}}}`,
		"{\r\n\"auths\"\t:{\"h\" : {\"auth\":\"dTpw\\n\"}}}  ", `{"auths":{`, `{"auths":{}}}`, `{"\u0061uths":{"\ud800":{}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, flat := range []bool{false, true} {
			checkParsed(t, data, flat)
		}
		w := &world{files: map[string]string{dockerConfig: string(data)}}
		env := w.environment()
		opts := Options{Environment: env, Secrets: []Secret{
			{Name: "a", Type: DockerConfigJSON, Payload: redact.New(string(data))},
			{Name: "b", Type: DockerCfg, Payload: redact.New(string(data))},
		}}
		s, err := Load(opts)
		if err != nil {
			opts.Environment = (&world{}).environment()
			if s, err = Load(opts); err != nil {
				t.Fatalf("damaged secrets stop Load: %v", err)
			}
		}
		for _, repo := range []string{"quay.io/a/b", "docker.io/calico/cni", "h/x", "h:1/x", "[::1]/a", ""} {
			accounts, err := s.For(t.Context(), repo, []string{"a", "b"})
			if err != nil && accounts != nil {
				t.Errorf("%s: accounts beside %v", repo, err)
			}
			used := 0
			for _, e := range s.Explain(t.Context(), repo, []string{"a", "b"}) {
				if e.Verdict == Used {
					used++
				}
			}
			if want := map[bool]int{true: 1, false: 0}[err == nil]; used != want {
				t.Errorf("%s: %d sources are used, error %v", repo, used, err)
			}
		}
	})
}

func checkParsed(t *testing.T, data []byte, flat bool) {
	c, err := parseConfig(data, flat)
	if err == nil {
		text := bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\ufeff")))
		if len(text) > 0 && !json.Valid(text) {
			t.Errorf("accepted: %q", data)
		}
	}
	errs := []error{err}
	for _, e := range c.entries {
		if e.err != nil && e.auth != (Auth{}) {
			t.Errorf("entry %s is damaged and has a credential", e.key)
		}
		errs = append(errs, e.err)
	}
	for _, err := range errs {
		file, ok := err.(*FileError)
		if err == nil {
			continue
		}
		lines := bytes.Split(data, []byte("\n"))
		if !ok || file.Line < 1 || file.Line > len(lines) || file.Column < 1 || file.Column > len(lines[file.Line-1])+1 {
			t.Errorf("no position in %q: %v", data, err)
		}
	}
}

// FuzzEntry writes an entry as docker login does, and reads it again.
func FuzzEntry(f *testing.F) {
	f.Add("quay.io", "user", "password")
	f.Add("https://index.docker.io/v1/", "u", "a:b:c")
	f.Add("h/\x00<>&\u2028", "\u00fc", "\xff\xfe \n")
	f.Fuzz(func(t *testing.T, key, user, password string) {
		if !utf8.ValidString(key) || user == "" || strings.Contains(user, ":") || strings.Trim(password, "\x00") != password || password == "" {
			t.Skip("no login could be written that way")
		}
		encoded := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
		text, err := json.Marshal(map[string]any{"auths": map[string]any{key: map[string]string{"auth": encoded}}})
		if err != nil {
			t.Fatal(err)
		}
		c, err := parseConfig(text, false)
		if err != nil || len(c.entries) != 1 || c.entries[0].err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got, want := c.entries[0].auth, (Auth{username: redact.New(user), password: redact.New(password)}); got != want {
			t.Errorf("%s returns another credential", text)
		}
		if shown := c.entries[0].key; strings.ContainsAny(shown, "\x00\x1b\n\r@") || !utf8.ValidString(shown) {
			t.Errorf("key %q is shown as %q", key, shown)
		}
	})
}

// FuzzMatch checks that no account of one registry is returned for another.
func FuzzMatch(f *testing.F) {
	f.Add("https://index.docker.io/v1/", "docker.io/calico/cni")
	f.Add("*.example.com:5000/team", "reg.example.com:5000/team/app")
	f.Add("h/teama", "h/teamb/x")
	f.Add("[::1]:5000", "[::1]:5000/a")
	f.Add("u:p@h/v2/", "h/v2/a")
	f.Fuzz(func(t *testing.T, key, repo string) {
		target := repository(repo)
		file, secret := fileScope(key), kubeletScope(key)
		if file.covers(target) {
			if file.host != target.host {
				t.Errorf("%q covers %q on another host", key, repo)
			}
			if rest, ok := strings.CutPrefix(target.path, file.path); !ok || rest != "" && rest[0] != '/' {
				t.Errorf("%q covers %q beside its path", key, repo)
			}
		}
		if secret.globs(target) {
			if file.host != target.host && !strings.ContainsAny(key, `*?[\`) {
				t.Errorf("%q matches %q on another host without a glob", key, repo)
			}
			if strings.Count(secret.host, ".") != strings.Count(target.host, ".") {
				t.Errorf("%q matches %q with other labels", key, repo)
			}
		}
	})
}
