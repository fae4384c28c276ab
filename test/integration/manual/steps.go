package manual

import (
	"bytes"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// step is one command of a page, which may have several lines.
type step struct {
	line int // from 1
	text string
	port string   // of a server
	exit int      // the exit code that its comment states
	want []string // lines of the output of the steps since first
	from int      // index of the first of these steps
}

var exitComment = regexp.MustCompile(`#.*\bexit ([0-9]+)\b`)

// steps returns the commands of a page in order.
func steps(blocks []block) ([]step, error) {
	var all []step
	first := 0 // of the last block of commands
	for _, b := range blocks {
		var some []step
		var err error
		switch b.kind {
		case commands, serves:
			first = len(all)
			some, err = split(b, first)
		case setup:
			some, err = split(b, len(all))
		case output:
			if len(all) == 0 {
				return nil, fmt.Errorf("line %d: output without commands before it", b.line)
			}
			last := &all[len(all)-1]
			last.want, last.from = append(last.want, lines(b.text)...), first
		}
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// script returns the text for the shell: for a server one that starts it, waits until it
// answers or ends, stops it, and ends with its exit code.
func (s step) script() string {
	if s.port == "" {
		return s.text
	}
	return "{ exec " + s.text + `} & server=$!
asks() { exec 3<>/dev/tcp/127.0.0.1/` + s.port + ` && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && read -r _ <&3; }
until (asks) 2>/dev/null; do kill -0 $server 2>/dev/null || break; sleep 0.05; done
kill $server; wait $server
`
}

// split splits a block into complete commands, which are numbered from the given one.
func split(b block, number int) ([]step, error) {
	var some []step
	session := strings.HasPrefix(b.text, "$ ")
	var rest strings.Builder
	start := 0
	for i, line := range strings.Split(b.text, "\n") {
		trimmed := strings.TrimSpace(line)
		if rest.Len() == 0 {
			if session && !strings.HasPrefix(line, "$ ") {
				if trimmed != "" {
					last := &some[len(some)-1]
					last.want = append(last.want, trimmed)
				}
				continue
			}
			if trimmed == "" || strings.HasPrefix(trimmed, "#") {
				continue
			}
			start = i
			if session {
				line = line[2:]
			}
		}
		rest.WriteString(line + "\n")
		if text := rest.String(); complete(text) {
			s := step{line: b.line + start, text: text, port: b.port, from: number + len(some)}
			if m := exitComment.FindStringSubmatch(text); m != nil {
				s.exit, _ = strconv.Atoi(m[1]) // the expression matches digits only
			}
			some = append(some, s)
			rest.Reset()
		}
	}
	if rest.Len() > 0 {
		return nil, fmt.Errorf("line %d: bash finds no end of the command: %s", b.line+start, rest.String())
	}
	return some, nil
}

// complete reports whether bash reads the text as complete commands.
func complete(text string) bool {
	if strings.HasSuffix(text, "\\\n") {
		return false
	}
	cmd := exec.Command("bash", "-n")
	cmd.Stdin = strings.NewReader(text)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr // with a warning about a here-document without its end
	return cmd.Run() == nil && stderr.Len() == 0
}

// lines returns the lines of a text that are not blank.
func lines(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// The parts of an output that differ from run to run or from image to image.
var (
	digests = regexp.MustCompile(`\b(sha256[:-])?[0-9a-f]{12,64}(\b|…)|sha256:[0-9a-f]*…`)
	sizes   = regexp.MustCompile(`[0-9]+(\.[0-9]+)? ([kKMG]i?)?B\b`)
	times   = regexp.MustCompile(`\b([0-9]+h)?([0-9]+m)?[0-9]+(\.[0-9]+)?m?s\b|\b[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z?|\b[0-2][0-9]:[0-5][0-9]\b`)
	targets = regexp.MustCompile(`linux/(amd64|arm64)\b`)
	gaps    = regexp.MustCompile(` +`)
)

// stable returns a line without these parts, and with single spaces.
func stable(line string) string {
	line = times.ReplaceAllString(line, "TIME")
	line = digests.ReplaceAllString(line, "DIGEST")
	line = targets.ReplaceAllString(line, "PLATFORM")
	line = sizes.ReplaceAllString(line, "SIZE")
	return gaps.ReplaceAllString(strings.TrimSpace(line), " ")
}

// absent returns the first line of want that got does not have in this order. In want, "…"
// stands for any text.
func absent(want []string, got string) (line string, found bool) {
	rest := lines(got)
	for _, w := range want {
		if w == "…" {
			continue
		}
		parts := strings.Split(stable(w), "…")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		pattern := regexp.MustCompile("^" + strings.Join(parts, ".*") + "$")
		i := 0
		for i < len(rest) && !pattern.MatchString(stable(rest[i])) {
			i++
		}
		if i == len(rest) {
			return w, true
		}
		rest = rest[i+1:]
	}
	return "", false
}
