package cli

import (
	"context"
	"os"
	"strings"
	"testing"
)

// guessing is a program whose jobs print their arguments.
func guessing() *Program {
	job := func(name, output string) Job {
		return func(_ context.Context, args []string, streams Streams) error {
			fs := NewFlags(name, "help of "+name+"\n", streams)
			fs.Guesses = map[string]string{"username": "--creds HOST=USER", "out": "-o", "gone": "--gone", "retries": "nothing: retries are automatic"}
			fs.AddVersion()
			fs.StringP("output", "o", output, "")
			fs.StringArrayP("filename", "f", nil, "")
			fs.StringArray("creds", nil, "")
			fs.Bool("dry-run", false, "")
			if err := fs.Parse(args); err != nil {
				return err
			}
			for _, i := range fs.Words() {
				_, _ = streams.Out.Write([]byte(args[i] + "\n"))
			}
			return nil
		}
	}
	return &Program{
		Name: "p", Main: job("p", ""), Jobs: map[string]Job{"scan": job("p scan", "text"), "inspect": job("p inspect", "text")},
		Guesses: map[string][]string{"images": {"p scan", "p"}, "create": {"p"}, "login": {"docker login"}, "show": {"p inspect FILE", "q list"}},
	}
}

// TestGuesses: a word in the place of a command is the command, its help, or an error with
// the corrected line.
func TestGuesses(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("list", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	version := "p " + VersionString() + "\n"
	tests := []struct{ args, out, err, hint string }{
		{args: "help", out: "help of p\n"},
		{args: "-help", out: "help of p\n"},
		{args: "help scan", out: "help of p scan\n"},
		{args: "help create", err: `"create" is not a command of p`, hint: `did you mean "p"?; see "p --help"`},
		{args: "help nginx", err: `help: "nginx" is not a command of p`, hint: `"p --help" lists all commands and flags`},
		{args: "version", out: version},
		{args: "-v", out: version},
		{args: "-V", out: version},
		{args: "-version", out: version},
		{args: "--vresion", err: "unknown flag: --vresion", hint: `did you mean "--version"?; see "p --help"`},
		{args: "scna -f a b", err: `"scna" is not a command of p`, hint: `did you mean "p scan -f a b"?; see "p --help"`},
		{args: "Scan -f a", err: `"Scan" is not a command of p`, hint: `did you mean "p scan -f a"?; see "p --help"`},
		{args: "inspct x.tar", err: `"inspct" is not a command of p`, hint: `did you mean "p inspect x.tar"?; see "p --help"`},
		{args: "hlep", err: `"hlep" is not a command of p`, hint: `did you mean "p help"?; see "p --help"`},
		{args: "images -f a", err: `"images" is not a command of p`, hint: `did you mean "p scan -f a"?; see "p --help"`},
		{args: "images -f a -o text", err: `"images" is not a command of p`, hint: `did you mean "p scan -f a -o text"?; see "p --help"`},
		{args: "images -f a -o x.tar", err: `"images" is not a command of p`, hint: `did you mean "p scan -f a" or "p -f a -o x.tar"?; see "p --help"`},
		{args: "create -f a -o x.tar --dry-run", err: `"create" is not a command of p`, hint: `did you mean "p -f a -o x.tar --dry-run"?; see "p --help"`},
		{args: "create -f a --nonsense canary", err: `"create" is not a command of p`, hint: `did you mean "p"?; see "p --help"`},
		{args: "create --creds h=u:canary https://u:canary@h/p?canary", err: `"create" is not a command of p`,
			hint: `did you mean "p --creds h=u 'https://[redacted]@h/p?[redacted]'"?; see "p --help"`},
		{args: "show", err: `"show" is not a command of p`, hint: `did you mean "p inspect FILE" or "q list"?; see "p --help"`},
		{args: "show x.tar", err: `"show" is not a command of p`, hint: `did you mean "p inspect x.tar"?; see "p --help"`},
		{args: "login -u ann -p canary", err: `"login" is not a command of p`, hint: `that is "docker login"; see "p --help"`},
		{args: "list -f a", out: "list\n"}, // a file
		{args: "nginx", out: "nginx\n"},
		{args: "team/scan scan:v1 -o scan", out: "team/scan\nscan:v1\n"},
		{args: "-o x -- -f y", out: "-f\ny\n"},
		{args: "x -o x y -fz --creds=h x --dry-run x -", out: "x\ny\nx\nx\n-\n"},
		{args: "-o", err: "flag needs an argument: 'o' in -o", hint: `"p --help" lists all commands and flags`},
		{args: "scan --username ann", err: "unknown flag: --username", hint: `did you mean "--creds HOST=USER"?; see "p scan --help"`},
		{args: "scan --out x", err: "unknown flag: --out", hint: `did you mean "-o"?; see "p scan --help"`},
		{args: "scan --gone", err: "unknown flag: --gone", hint: `"p scan --help" lists all flags`},
		{args: "scan --dryrun", err: "unknown flag: --dryrun", hint: `did you mean "--dry-run"?; see "p scan --help"`},
		{args: "scan -dry-run", err: "unknown shorthand flag: 'd' in -dry-run", hint: `did you mean "--dry-run"?; see "p scan --help"`},
		{args: "scan -x", err: "unknown shorthand flag: 'x' in -x", hint: `"p scan --help" lists all flags`},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			var out, stderr strings.Builder
			code := guessing().Run(t.Context(), strings.Fields(tt.args), Streams{Out: &out, Err: &stderr})
			want, wantCode := "", OK
			if tt.err != "" {
				want, wantCode = "p: error: "+tt.err+"\np: hint: "+tt.hint+"\n", Usage
			}
			if code != wantCode || out.String() != tt.out || stderr.String() != want {
				t.Errorf("got %d, %q, %q, want %d, %q, %q", code, out.String(), stderr.String(), wantCode, tt.out, want)
			}
		})
	}
}

// TestNotCommand: a command that does not come first.
func TestNotCommand(t *testing.T) {
	err := guessing().NotCommand([]string{"-f", "a", "scan"}, 2)
	want := `"scan" is a command of p and must be the first argument`
	if err == nil || err.Error() != want || err.(*Error).Hint != `try "p scan -f a"` {
		t.Errorf("got %#v", err)
	}
}

func TestQuote(t *testing.T) {
	got := Quote("a", "b c", "it's", "", "--creds", "h=u:@f", "--creds=h=u:canary", "--creds", "h=u:canary", "$x")
	if want := `a 'b c' 'it'\''s' '' --creds h=u:@f --creds=h=u --creds h=u '$x'`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDistance(t *testing.T) {
	for pair, want := range map[string]int{"scan scan": 0, "scan scna": 1, "scan sca": 1, "scan sccan": 1, "scan span": 1, "scan kscna": 2, "scan ": 4, " scan": 4} {
		a, b, _ := strings.Cut(pair, " ")
		if got := distance(a, b); got != want {
			t.Errorf("%s: got %d, want %d", pair, got, want)
		}
	}
}
