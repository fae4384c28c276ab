//go:build !unix

package pull

import (
	"errors"
	"net"
)

// isRefused reports whether nothing listens at an address.
func isRefused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" && !op.Timeout()
}

// brokenConnection reports whether an established connection was cut: a failed read or
// write on it is a *net.OpError of that operation.
func brokenConnection(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op == "read" || op.Op == "write"
	}
	return errors.Is(err, net.ErrClosed)
}
