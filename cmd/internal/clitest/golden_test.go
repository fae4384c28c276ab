package clitest

import "testing"

func TestMasked(t *testing.T) {
	const text = `{"time":"2026-01-02","n": 12.5,"path":"/tmp/x/a","ok": true,"other":"\"time\":"}`
	const want = `{"time":"*","n": "*","path":"TMP/a","ok": "*","other":"\"time\":"}`
	got, err := masked(text, []string{"time", "n", "/tmp/x=TMP", "ok"})
	if err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	if _, err := masked(text, []string{"absent"}); err == nil {
		t.Error("a name that does not occur: no error")
	}
}
