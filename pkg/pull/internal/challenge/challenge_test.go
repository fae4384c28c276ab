package challenge

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func params(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

func TestParse(t *testing.T) {
	const realm = "https://auth.example/token"
	bearer := Challenge{"bearer", params("realm", realm, "service", "r", "scope", "repository:a/b:pull,push")}
	basic := Challenge{"basic", params("realm", "the registry, of all")}
	for name, c := range map[string]struct {
		lines []string
		want  []Challenge
	}{
		"none":       {nil, nil},
		"empty":      {[]string{""}, nil},
		"bearer":     {[]string{`Bearer realm="` + realm + `",service="r",scope="repository:a/b:pull,push"`}, []Challenge{bearer}},
		"spaces":     {[]string{` BEARER  Realm = "` + realm + `" , service="r",	scope="repository:a/b:pull,push" ,`}, []Challenge{bearer}},
		"two lines":  {[]string{`Basic realm="the registry, of all"`, `Bearer realm="` + realm + `",service="r",scope="repository:a/b:pull,push"`}, []Challenge{basic, bearer}},
		"one line":   {[]string{`Basic realm="the registry, of all", Bearer realm="` + realm + `",service="r",scope="repository:a/b:pull,push"`}, []Challenge{basic, bearer}},
		"the other":  {[]string{`Bearer realm="` + realm + `",service="r",scope="repository:a/b:pull,push", Basic realm="the registry, of all"`}, []Challenge{bearer, basic}},
		"alone":      {[]string{`Negotiate, Basic`}, []Challenge{{"negotiate", params()}, {"basic", params()}}},
		"token68":    {[]string{`Negotiate YIIB==, Basic realm=x`}, []Challenge{{"negotiate", params("yiib", "=")}, {"basic", params("realm", "x")}}},
		"not quoted": {[]string{`Bearer realm=` + realm + `,service=r`}, []Challenge{{"bearer", params("realm", realm, "service", "r")}}},
		"escapes":    {[]string{`Basic realm="a \"b\" \\c"`}, []Challenge{{"basic", params("realm", `a "b" \c`)}}},
		"open quote": {[]string{`Basic realm="a`}, []Challenge{{"basic", params("realm", "a")}}},
		"twice":      {[]string{`Basic realm="a",realm="b"`}, []Challenge{{"basic", params("realm", "a")}}},
		"no scheme":  {[]string{`realm="x"`, `="x"`, `"x"`}, nil},
		"too many":   {[]string{strings.Repeat("Basic,", 100)}, many(most)},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Parse(http.Header{"Www-Authenticate": c.lines})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	list := []Challenge{basic, bearer, {"basic", params()}}
	if got, ok := Find(list, "basic"); !ok || got.Params["realm"] == "" {
		t.Errorf("Find = %v, %t, want the first", got, ok)
	}
	if got, ok := Find(list, "digest"); ok {
		t.Errorf("Find = %v, want none", got)
	}
}

func many(n int) []Challenge {
	var out []Challenge
	for range n {
		out = append(out, Challenge{"basic", params()})
	}
	return out
}

// FuzzParse checks that parsing ends, and that what it returns is usable.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"", `Basic realm="x", Bearer realm="https://a.example/t",scope="a:b:c,d"`, `a=b, "c", =d, E f`, `Basic realm="\`, "\x00 \x80", `, ,=`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, c := range Parse(http.Header{"Www-Authenticate": {s, s}}) {
			if c.Scheme == "" || c.Scheme != strings.ToLower(c.Scheme) || strings.ContainsAny(c.Scheme, " \t,=\"") {
				t.Errorf("scheme %q of %q", c.Scheme, s)
			}
			for name := range c.Params {
				if name == "" || strings.ContainsAny(name, " \t,=\"") {
					t.Errorf("parameter %q of %q", name, s)
				}
			}
		}
	})
}
