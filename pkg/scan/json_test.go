package scan

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// plain turns nodes into what encoding/json makes of the same text; numbers stay text.
func plain(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = plain(n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		s := []any{}
		for _, e := range n.Content {
			s = append(s, plain(e))
		}
		return s
	}
	switch n.Tag {
	case "!!null":
		return nil
	case "!!bool":
		return n.Value == "true"
	case "!!float":
		return json.Number(n.Value)
	}
	return n.Value
}

func TestParseJSON(t *testing.T) {
	for _, src := range []string{
		`{}`, `[]`, ` [ ] `, `{"a": 1, "b": [true, false, null, -1.5e+3], "c": {"d": "e"}}`,
		`"\u0041\n\t\"\\\/ \ud83d\ude00 é"`, `{"a":"` + strings.Repeat("x", 2000) + `"}`, "{\"a\"\t:\r\n 1}",
	} {
		n, err := parseJSON([]byte(src), 0, 10, 100)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		var want any
		dec := json.NewDecoder(strings.NewReader(src))
		dec.UseNumber()
		if err := dec.Decode(&want); err != nil {
			t.Fatal(err)
		}
		g, _ := json.Marshal(plain(n))
		w, _ := json.Marshal(want)
		if string(g) != string(w) {
			t.Errorf("parse %s: got %s, want %s", src, g, w)
		}
	}
}

func TestParseJSONErrors(t *testing.T) {
	for _, tc := range []struct {
		src    string
		offset int
	}{
		{``, 0}, {`{`, 1}, {`{"a"`, 4}, {`{"a":`, 5}, {`{"a":1`, 6}, {`{"a":1,}`, 7}, {`[1,]`, 3}, {`[1 2]`, 3}, {`{a:1}`, 1}, {`{"a":secret}`, 5},
		{`"a`, 0}, {`"\q"`, 1}, {`"\u12"`, 1}, {"\"a\nb\"", 2}, {`{} x`, 3}, {`nul`, 0},
	} {
		_, err := parseJSON([]byte(tc.src), 0, 10, 100)
		var wrong *errJSON
		if !errors.As(err, &wrong) || wrong.offset != tc.offset {
			t.Errorf("%s: %#v, want an error at %d", tc.src, err, tc.offset)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error quotes: %v", err)
		}
	}
}

func TestParseJSONLimits(t *testing.T) {
	for depth, want := range map[int]error{2: errTooDeep, 3: nil} {
		if _, err := parseJSON([]byte(`[[[1]]]`), 0, depth, 100); !errors.Is(err, want) {
			t.Errorf("depth %d: %v", depth, err)
		}
	}
	for nodes, want := range map[int]error{3: errTooMany, 4: nil} {
		if _, err := parseJSON([]byte(`[1,2,3]`), 0, 10, nodes); !errors.Is(err, want) {
			t.Errorf("%d nodes: %v", nodes, err)
		}
	}
}

func TestUnescape(t *testing.T) {
	for _, tc := range []struct {
		src   string
		want  rune
		width int
	}{
		{`\n`, '\n', 2}, {`\/`, '/', 2}, {`\N`, 0x85, 2}, {`\x41`, 'A', 4}, {`\u00e9`, 'é', 6}, {`\u00E9`, 'é', 6}, {`\U0001F600`, '😀', 10},
		{`\ud83d\ude00`, '😀', 12}, {`\ud83d\u0041`, 0xD83D, 6}, {`\ud83d`, 0xD83D, 6}, {`\ud83d\uZZZZ`, 0xD83D, 6}, {"\\\n", '\n', 2}, {"\\\r", '\r', 2},
		{`\`, 0, 0}, {`\q`, 0, 0}, {`\x4`, 0, 0}, {`\xg0`, 0, 0}, {``, 0, 0},
	} {
		if r, width := unescape([]byte(tc.src)); r != tc.want || width != tc.width {
			t.Errorf("unescape(%q) = %q, %d, want %q, %d", tc.src, r, width, tc.want, tc.width)
		}
	}
}
