package clitest

import (
	"net"

	"github.com/rogpeppe/go-internal/testscript"
)

// socket makes the socket of a server that has died, or of one that answers with
// something else than what is asked for.
//
//	socket stale|other PATH
func socket(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 || args[0] != "stale" && args[0] != "other" {
		ts.Fatalf("usage: socket stale|other PATH")
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: ts.MkAbs(args[1])})
	ts.Check(err)
	if args[0] == "stale" {
		l.SetUnlinkOnClose(false)
		ts.Check(l.Close())
		return
	}
	ts.Defer(func() { l.Close() }) // its file goes with the script's folder
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			_, _ = c.Write([]byte("220 mail.example ready\r\n")) // whether it is heard is the client's business
			c.Close()
		}
	}()
}
