package disk

import (
	"errors"
	"math"
	"testing"

	"stowage/internal/fsutil"
)

func TestReserve(t *testing.T) {
	for _, tt := range []struct{ size, want int64 }{
		{0, 0},
		{24 << 20, 24 << 20 / 16},
		{512 << 20, 32 << 20},
		{1 << 30, 64 << 20},
		{6 << 30, 64 << 20},
		{100 << 30, 1 << 30},
		{math.MaxInt64, math.MaxInt64 / 100},
	} {
		if got := reserve(tt.size, maxReserve); got != tt.want {
			t.Errorf("of %d: %d, want %d", tt.size, got, tt.want)
		}
	}
}

// fake is a file system of 1 GiB and 16,000 inodes, of which other writers can take some.
type fake struct{ fsutil.Usage }

func newFake() *fake {
	return &fake{fsutil.Usage{Size: 1 << 30, Free: 1 << 30, Block: 4096, Inodes: 16_000, Unused: 16_000}}
}

func (f *fake) stat() (fsutil.Usage, error) { return f.Usage, nil }

func TestDraw(t *testing.T) {
	const all, inodes = 1<<30 - maxReserve, 15_000
	for _, tt := range []struct {
		name  string
		draws []Cost
		taken int64 // by others, before the last draw
		fits  bool
	}{
		{"all", []Cost{{all, inodes}}, 0, true},
		{"a byte too many", []Cost{{all + 1, 0}}, 0, false},
		{"an inode too many", []Cost{{0, inodes + 1}}, 0, false},
		{"two together", []Cost{{all / 2, 1}, {all/2 + 1, 1}}, 0, false},
		{"a stated size", []Cost{{1 << 62, 0}}, 0, false},
		{"two that overflow", []Cost{Cost{1 << 62, 1 << 62}.Add(Cost{1 << 62, 1 << 62})}, 0, false},
		{"others write", []Cost{{all / 2, 0}}, all/2 + 1, false},
		{"others write, nothing drawn", []Cost{{}}, all + 1, false},
		{"others write little", []Cost{{all / 2, 0}}, all / 2, true},
		{"a small draw is not checked", []Cost{{4096, 1}}, all + 1, true},
		{"small draws are checked together", []Cost{{recheck / 2, 1}, {recheck / 2, 1}}, all, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			b, err := New("/x", f.stat)
			if err != nil {
				t.Fatal(err)
			}
			for i, c := range tt.draws {
				last := i == len(tt.draws)-1
				if last {
					f.Free -= tt.taken
				}
				err := b.Draw(c)
				var full *FullError
				if want := !last || tt.fits; (err == nil) != want || !want && !errors.As(err, &full) {
					t.Errorf("draw %d of %+v: %v", i, c, err)
				}
			}
		})
	}
}

func TestReturn(t *testing.T) {
	b, err := New("/x", newFake().stat)
	if err != nil {
		t.Fatal(err)
	}
	c := Cost{700 << 20, 10}
	for range 3 {
		if err := b.Draw(c); err != nil {
			t.Fatal(err)
		}
		if b.Fits(c) == nil {
			t.Error("the same again fits")
		}
		b.Return(c)
	}
}

// TestUnlimited checks a nil budget and a file system without a number of inodes.
func TestUnlimited(t *testing.T) {
	var none *Budget
	none.Return(Cost{1, 1})
	if err := errors.Join(none.Draw(Cost{math.MaxInt64, math.MaxInt64}), none.Fits(Cost{1, 1})); err != nil {
		t.Error(err)
	}
	b, err := New("/x", func() (fsutil.Usage, error) { return fsutil.Usage{Size: 1 << 30, Free: 1 << 30}, nil })
	if err != nil || b.Draw(Cost{0, 1 << 40}) != nil {
		t.Errorf("inodes: %v", err)
	}
	if _, err := New("/x", func() (fsutil.Usage, error) { return fsutil.Usage{}, errors.ErrUnsupported }); err == nil {
		t.Error("no usage: no error")
	}
}
