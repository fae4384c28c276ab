//go:build !linux

package layer

import (
	"archive/tar"
	"context"
	"errors"
	"io"
)

// extract returns [errors.ErrUnsupported] on this system.
func (*Target) extract(context.Context, io.Reader, func(*tar.Header) error) error {
	return errors.ErrUnsupported
}
