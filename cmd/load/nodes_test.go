//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/document"
)

// ending is an input of a program that reads n bytes and ends.
type ending struct {
	bytes.Buffer
	n      int
	closed bool
}

func (e *ending) Write(p []byte) (int, error) {
	if e.Len() >= e.n {
		return 0, io.ErrClosedPipe
	}
	return e.Buffer.Write(p)
}

func (e *ending) Close() error { e.closed = true; return nil }

// TestFeed copies a bundle to several programs, of which some end early or did not start.
func TestFeed(t *testing.T) {
	text := strings.Repeat("0123456789", 10)
	all, early, none := &ending{n: 1000}, &ending{n: 5}, &ending{}
	in := iotest.OneByteReader(strings.NewReader(text))
	if err := feed(t.Context(), in, []io.WriteCloser{nil, early, all, none}); err != nil {
		t.Fatal(err)
	}
	if all.String() != text || !all.closed || early.String() != text[:5] || none.Len() > 0 {
		t.Errorf("got %q, closed %t; %q; %q", &all.Buffer, all.closed, &early.Buffer, &none.Buffer)
	}

	broken := errors.New("broken")
	all = &ending{n: 1000}
	if err := feed(t.Context(), iotest.ErrReader(broken), []io.WriteCloser{all}); !errors.Is(err, broken) || !all.closed {
		t.Errorf("error %v, closed %t, want that of the reader", err, all.closed)
	}

	// A program that is asked to end must not see the end of the bundle before.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	all = &ending{n: 1000}
	if err := feed(ctx, iotest.ErrReader(ctx.Err()), []io.WriteCloser{all}); !errors.Is(err, context.Canceled) || all.closed {
		t.Errorf("error %v, closed %t", err, all.closed)
	}
}

func TestWorstCode(t *testing.T) {
	for _, c := range []struct {
		codes []int
		want  int
		text  string
	}{
		{[]int{0, 0}, cli.OK, ""},
		{[]int{0, 3, 1}, cli.Incomplete, "b: exit code 3\nc: exit code 1"},
		{[]int{7, 130, 6}, cli.Signalled, "a: exit code 7\nb: exit code 130\nc: exit code 6"},
		{[]int{0, 126, 0}, cli.NoNode, "b: exit code 126"},
		{[]int{137, -1}, cli.Failed, "a: exit code 137\nb: exit code -1"},
	} {
		var results []*nodeResult
		for i, code := range c.codes {
			results = append(results, &nodeResult{Node: document.Node{Node: string(rune('a' + i)), ExitCode: code}})
		}
		code, text := cli.OK, ""
		if err := (&settings{}).judge(results); err != nil {
			e, _ := errors.AsType[*cli.Error](err)
			code, text = e.Code, e.Error()
		}
		if code != c.want || text != c.text {
			t.Errorf("%v: code %d, %q, want %d, %q", c.codes, code, text, c.want, c.text)
		}
	}
}
