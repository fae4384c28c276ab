package clitest

import (
	"net"

	"github.com/rogpeppe/go-internal/testscript"
)

// socket creates the socket of a server that has died, or of one that speaks another
// protocol.
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
	ts.Defer(func() { l.Close() }) // the socket is removed with the script's directory
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			_, _ = c.Write([]byte("220 mail.example ready\r\n")) // the client may have closed the connection
			c.Close()
		}
	}()
}
