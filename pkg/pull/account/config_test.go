package account

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// show returns a config in one line.
func show(c config) string {
	var parts []string
	for _, e := range c.entries {
		a, _ := e.auth.Authorization()
		parts = append(parts, fmt.Sprintf("%s=%s:%s:%s:%s", e.key, a.Username, a.Password, a.IdentityToken, a.RegistryToken))
	}
	for _, r := range c.rules {
		parts = append(parts, r.key+"->"+r.helper)
	}
	if c.store != "" {
		parts = append(parts, "store "+c.store)
	}
	return strings.Join(parts, " ")
}

func TestParseConfig(t *testing.T) {
	up := base64.StdEncoding.EncodeToString([]byte("u:p"))
	raw := base64.RawStdEncoding.EncodeToString([]byte("u:pa"))
	tests := []struct {
		name, text, want string
	}{
		{"auth", `{"auths":{"h":{"auth":"` + up + `"}}}`, "h=u:p::"},
		{"auth without padding", `{"auths":{"h":{"auth":"` + raw + `"}}}`, "h=u:pa::"},
		{"auth with line end", `{"auths":{"h":{"auth":"` + raw + `\n"}}}`, "h=u:pa::"},
		{"colons in the password", `{"auths":{"h":{"auth":"` + base64.StdEncoding.EncodeToString([]byte("u:p:q:")) + `"}}}`, "h=u:p:q:::"},
		{"padded with NUL", `{"auths":{"h":{"auth":"` + base64.StdEncoding.EncodeToString([]byte("u:p\x00\x00")) + `"}}}`, "h=u:p::"},
		{"user and password", `{"auths":{"h":{"username":"u","password":"p"}}}`, "h=u:p::"},
		{"auth wins before", `{"auths":{"h":{"auth":"` + up + `","username":"x","password":"y"}}}`, "h=u:p::"},
		{"auth wins behind", `{"auths":{"h":{"username":"x","password":"y","auth":"` + up + `"}}}`, "h=u:p::"},
		{"identity token", `{"auths":{"h":{"auth":"` + base64.StdEncoding.EncodeToString([]byte("0000:")) + `","identitytoken":"t"}}}`, "h=0000::t:"},
		{"registry token", `{"auths":{"h":{"registrytoken":"t"}}}`, "h=:::t"},
		{"empty auth", `{"auths":{"h":{"auth":"","username":"u","password":"p"}}}`, "h=u:p::"},
		{"user without password", `{"auths":{"h":{"auth":"` + base64.StdEncoding.EncodeToString([]byte("u:")) + `"}}}`, "h=:::"},
		{"null fields", `{"auths":{"h":{"auth":null,"email":null},"i":null}}`, "h=::: i=:::"},
		{"unknown fields", `{"x":[{}],"auths":{"h":{"y":{"z":1},"auth":"` + up + `"}},"HttpHeaders":{},"stackOrchestrator":null}`, "h=u:p::"},
		{"helpers", `{"credHelpers":{"b":"two","a":"one","c":""},"credsStore":"pass"}`, "a->one b->two c-> store pass"},
		{"letter case", `{"Auths":{"h":{"Auth":"` + up + `"}},"credhelpers":{"a":"one"},"CREDSSTORE":"s"}`, "h=u:p:: a->one store s"},
		{"byte order mark", "\ufeff" + `{"auths":{"h":{"auth":"` + up + `"}}}`, "h=u:p::"},
		{"CRLF", "{\r\n\"auths\":{\r\n\"h\":{\"auth\":\"" + up + "\"}}}\r\n", "h=u:p::"},
		{"last of two", `{"auths":{"h":{"auth":"` + raw + `"},"h":{"auth":"` + up + `"}}}`, "h=u:p::"},
		{"empty", "", ""},
		{"null", "null", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := parseConfig([]byte(test.text), false)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range c.entries {
				if e.err != nil {
					t.Errorf("entry %s: %v", e.key, e.err)
				}
			}
			if got := show(c); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestParseConfigPositions(t *testing.T) {
	tests := []struct {
		name, text string
		line, col  int
	}{
		{"first byte", "x", 1, 1},
		{"bare text", "geheim", 1, 1},
		{"second line", "{\n x", 2, 2},
		{"cut", "{\n \"auths\": {", 2, 11},
		{"trailing comma", "{\"auths\":{},\n}", 2, 1},
		{"second value", "{} {}", 1, 4},
		{"list", "[]", 1, 1},
		{"string", ` "s"`, 1, 2},
		{"auths a list", "{\"auths\":\n\t[]}", 2, 2},
		{"helpers a string", `{"credHelpers": "x"}`, 1, 17},
		{"helper a number", "{\"credHelpers\":{\n\"a\": 1}}", 2, 6},
		{"store a list", `{"credsStore":[]}`, 1, 15},
		{"after multi-byte text", "{\"é\":1,\n\"ü\":x}", 2, 6},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := parseConfig([]byte(test.text), false)
			file, ok := err.(*FileError)
			if !ok {
				t.Fatalf("got %v, want a *FileError", err)
			}
			if file.Line != test.line || file.Column != test.col {
				t.Errorf("got %d:%d (%v), want %d:%d", file.Line, file.Column, err, test.line, test.col)
			}
		})
	}
}

func TestDamagedEntryPositions(t *testing.T) {
	tests := []struct {
		name, entry, want string
	}{
		{"not an object", `"geheim"`, "line 2, column 7: entry h: an object is expected here"},
		{"not base64", `{"auth":"*geheim*"}`, "line 2, column 15: entry h: auth is not the base64 form of user:password"},
		{"no colon", `{"auth":"Z2VoZWlt"}`, "line 2, column 15: entry h: auth is not the base64 form of user:password"},
		{"no user", `{"auth":"OnA="}`, "line 2, column 15: entry h: auth is not the base64 form of user:password"},
		{"number", `{"password":12345}`, "line 2, column 19: entry h: a string is expected here"},
		{"token a list", `{"identitytoken":["geheim"]}`, "line 2, column 24: entry h: a string is expected here"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := parseConfig([]byte("{\"auths\":{\n \"h\": "+test.entry+"}}"), false)
			if err != nil || len(c.entries) != 1 {
				t.Fatalf("got %v, %d entries", err, len(c.entries))
			}
			e := c.entries[0]
			if e.auth != (Auth{}) {
				t.Error("a damaged entry has a credential")
			}
			if e.err == nil || !strings.HasSuffix(e.err.Error(), test.want) {
				t.Errorf("got %v, want %s", e.err, test.want)
			}
		})
	}
}

func TestDeepJSON(t *testing.T) {
	text := `{"x":` + strings.Repeat("[", 100_000)
	if _, err := parseConfig([]byte(text), false); err == nil {
		t.Error("no error")
	}
}
