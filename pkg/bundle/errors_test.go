package bundle

import (
	"errors"
	"fmt"
	"testing"

	"stowage/pkg/archive"
	"stowage/pkg/pull"
)

// TestIsMissing: only faults that mean "not available" count, joined and wrapped ones too.
func TestIsMissing(t *testing.T) {
	missing := &pull.NotFoundError{Name: "n", Host: "h"}
	refused := &pull.AuthError{Name: "n", Host: "h"}
	for name, row := range map[string]struct {
		err  error
		want bool
	}{
		"not found":           {missing, true},
		"no platform":         {&pull.NoPlatformError{Name: "n"}, true},
		"schema 1":            {&pull.UnsupportedError{Name: "n"}, true},
		"wrapped":             {fmt.Errorf("x: %w", missing), true},
		"needed":              {&neededError{"n", missing}, true},
		"two":                 {errors.Join(missing, fmt.Errorf("x: %w", missing)), true},
		"blobs":               {&pull.FetchError{Blobs: []pull.BlobError{{Err: missing}}}, true},
		"refused":             {refused, false},
		"missing and refused": {errors.Join(missing, refused), false},
		"wrapped refusal":     {fmt.Errorf("x: %w", errors.Join(missing, refused)), false},
		"other":               {errors.New("x"), false},
	} {
		if got := IsMissing(row.err); got != row.want {
			t.Errorf("%s: got %t, want %t", name, got, row.want)
		}
	}
}

// TestErrorTexts: the errors of this package name the object and the cause.
func TestErrorTexts(t *testing.T) {
	one := []archive.Skipped{{Name: "n", Reason: "r"}}
	for _, row := range []struct {
		err  error
		want string
	}{
		{&IncompleteError{Images: 3, Skipped: one, Written: true}, "the bundle is incomplete: 1 of 3 images skipped"},
		{&IncompleteError{Images: 3, Skipped: one}, "1 of 3 images not available"},
		{&IncompleteError{Images: 1, Skipped: one}, "no image is available of 1"},
		{&MaxPullsError{Need: 6, Max: 5}, "6 pulls needed, 5 allowed; none was made"},
		{&FlatDigestError{Name: "a@sha256:0"}, "a@sha256:0: the digest of an index, which a flat bundle does not hold"},
		{&NameError{Name: "A", Err: errors.New("x")}, `image "A": x`},
		{&OutputError{Path: "old.tar"}, "the output would replace old.tar, which it builds on"},
		{&neededError{"n", errors.New("x")}, "n needs x"},
	} {
		if got := row.err.Error(); got != row.want {
			t.Errorf("%T: got %q, want %q", row.err, got, row.want)
		}
	}
}
