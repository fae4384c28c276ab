package scan

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"stowage/internal/redact"
)

const password = "hunter2-hunter2"

var accountFile = `{"auths":{"registry.example.net":{"username":"me","password":"` + password + `"}}}`

func secretDoc(kind, field, key, value string) string {
	return "apiVersion: v1\nkind: Secret\nmetadata: {name: reg, namespace: demo}\ntype: " + kind + "\n" + field + ":\n  " + key + ": " + value + "\n"
}

// TestSecrets shows that registry accounts come out of every way to write them.
func TestSecrets(t *testing.T) {
	coded := base64.StdEncoding.EncodeToString([]byte(accountFile))
	cfg := `{"registry.example.net":{"auth":"eDp5"}}`
	for _, tc := range []struct{ name, src, want string }{
		{"data", secretDoc(typeDockerConfig, "data", ".dockerconfigjson", coded), accountFile},
		{"data in lines", secretDoc(typeDockerConfig, "data", ".dockerconfigjson", "|\n    "+coded[:20]+"\n    "+coded[20:]), accountFile},
		{"binary", secretDoc(typeDockerConfig, "data", ".dockerconfigjson", "!!binary "+coded), accountFile},
		{"stringData", secretDoc(typeDockerConfig, "stringData", ".dockerconfigjson", "'"+accountFile+"'"), accountFile},
		{"both", secretDoc(typeDockerConfig, "data", ".dockerconfigjson", "e30=") + "stringData: {.dockerconfigjson: '" + accountFile + "'}\n", accountFile},
		{"old type", secretDoc(typeDockerCfg, "stringData", ".dockercfg", "'"+cfg+"'"), cfg},
		{"in a list", "kind: List\nitems:\n- {apiVersion: v1, kind: Secret, type: " + typeDockerConfig + ", metadata: {name: reg, namespace: demo}, data: {.dockerconfigjson: " + coded + "}}\n", accountFile},
		{"JSON", `{"kind":"SecretList","items":[{"apiVersion":"v1","kind":"Secret","type":"` + typeDockerConfig + `","metadata":{"name":"reg","namespace":"demo"},"data":{".dockerconfigjson":"` + coded + `"}}]}`, accountFile},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, err := scanString(t, Options{}, tc.src)
			if err != nil || len(res.Secrets) != 1 {
				t.Fatalf("%v, %d secrets", err, len(res.Secrets))
			}
			s := res.Secrets[0]
			if s.Payload.Reveal() != tc.want || s.Name != "reg" || s.Namespace != "demo" || s.Line == 0 || s.Column == 0 {
				t.Errorf("%s/%s at %d:%d: %s", s.Namespace, s.Name, s.Line, s.Column, s.Payload.Reveal())
			}
		})
	}
}

func TestSecretsOfOthers(t *testing.T) {
	for _, src := range []string{
		secretDoc("Opaque", "data", ".dockerconfigjson", "e30="),
		secretDoc(typeDockerConfig, "data", "other", "e30="),
		secretDoc("kubernetes.io/tls", "stringData", "image", "quay.io/demo/x:1"),
	} {
		if res, err := scanString(t, Options{}, src); err != nil || len(res.Secrets) != 0 || len(res.References) != 0 {
			t.Errorf("%s: %v, %+v", src, err, res)
		}
	}
}

// TestSecretsMalformed shows that a Secret that cannot be read is an error with a place
// that quotes nothing.
func TestSecretsMalformed(t *testing.T) {
	for name, src := range map[string]string{
		"no base64":      secretDoc(typeDockerConfig, "data", ".dockerconfigjson", "'"+password+"!'"),
		"no JSON":        secretDoc(typeDockerConfig, "stringData", ".dockerconfigjson", password),
		"JSON list":      secretDoc(typeDockerConfig, "stringData", ".dockerconfigjson", "'[\""+password+"\"]'"),
		"JSON null":      secretDoc(typeDockerConfig, "stringData", ".dockerconfigjson", "'null'"),
		"mapping":        secretDoc(typeDockerConfig, "data", ".dockerconfigjson", "{"+password+": 1}"),
		"number":         secretDoc(typeDockerConfig, "data", ".dockerconfigjson", "12345"),
		"alias":          secretDoc(typeDockerConfig, "stringData", "password", "*"+password),
		"tag":            secretDoc(typeDockerConfig, "stringData", "password", "!"+password+"!x y"),
		"quote":          secretDoc(typeDockerConfig, "stringData", "password", "\""+password),
		"escape":         secretDoc(typeDockerConfig, "stringData", "password", `"\`+password+`"`),
		"directive":      "%" + password + "\n---\na: 1\n",
		"colon":          secretDoc(typeDockerConfig, "stringData", "password", "a: "+password),
		"percent":        secretDoc(typeDockerConfig, "stringData", "password", "%"+password),
		"JSON cut":       `{"stringData": {"password": "` + password,
		"flow anchor":    "{a: &" + password + " {b: c}, d: *x" + password + "}",
		"tag handle":     secretDoc(typeDockerConfig, "stringData", "password", "!"+password+"!x"),
		"control":        secretDoc(typeDockerConfig, "stringData", "password", password+"\x01"),
		"as an image":    "image: \"" + password + "\n",
		"plain sentence": "my password is " + password + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			res, err := scanString(t, Options{}, src)
			if err == nil {
				t.Fatalf("no error; %+v", res)
			}
			if strings.Contains(err.Error(), password[:7]) || len(res.Secrets) > 0 || !strings.HasPrefix(err.Error(), "in.yaml:") {
				t.Errorf("the error is: %v", err)
			}
		})
	}
}

// TestRedacted prints a payload in every way there is.
func TestRedacted(t *testing.T) {
	res, err := scanString(t, Options{}, secretDoc(typeDockerConfig, "stringData", ".dockerconfigjson", "'"+accountFile+"'"))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, v := range []any{res.Secrets[0].Payload, &res.Secrets[0].Payload, res.Secrets[0], res.Secrets, res} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T", "%p"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		j, _ := json.Marshal(v)
		out.Write(j)
		y, _ := yaml.Marshal(v)
		out.Write(y)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
	}
	b, _ := res.Secrets[0].Payload.MarshalText()
	out.Write(b)
	for _, part := range []string{password, fmt.Sprintf("%x", password), fmt.Sprintf("%X", password), fmt.Sprint([]byte(password))[1:20],
		base64.StdEncoding.EncodeToString([]byte(accountFile))[:20]} {
		if strings.Contains(out.String(), part) {
			t.Errorf("%q was printed", part)
		}
	}
	if !strings.Contains(out.String(), redact.Text) {
		t.Error("nothing says that something is hidden")
	}
}
