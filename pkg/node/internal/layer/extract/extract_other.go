//go:build !linux

package extract

import (
	"archive/tar"
	"context"
	"errors"
)

// Layer returns [errors.ErrUnsupported] on this system.
func Layer(context.Context, Source, *Target, func(*tar.Header) error) error {
	return errors.ErrUnsupported
}
