package cli

import "testing"

func TestRate(t *testing.T) {
	for _, c := range []struct {
		text string
		want int64
		err  string
	}{
		{"500k", 500 << 10, ""},
		{"500K", 500 << 10, ""},
		{"2M", 2 << 20, ""},
		{"2m", 2 << 20, ""},
		{"1.5G", 3 << 29, ""},
		{"100000", 100000, ""},
		{"0", 0, ""},
		{"0k", 0, ""},
		{"1k", 1 << 10, ""},
		{"0.5k", 0, "want 1k or more a second, or 0 for no limit; write 0.5M for megabytes"},
		{"2", 0, "want 1k or more a second, or 0 for no limit; write 2M for megabytes"},
		{"", 0, "want bytes a second, such as 500k, 2M or 1G"},
		{"M", 0, "want bytes a second, such as 500k, 2M or 1G"},
		{"-1M", 0, "want bytes a second, such as 500k, 2M or 1G"},
		{"2MB", 0, "want bytes a second, such as 500k, 2M or 1G"},
		{"2 M", 0, "want bytes a second, such as 500k, 2M or 1G"},
		{"1e6", 0, "want bytes a second, such as 500k, 2M or 1G"},
		{"inf", 0, "want bytes a second, such as 500k, 2M or 1G"},
		{"nan", 0, "want bytes a second, such as 500k, 2M or 1G"},
		{"99999999999999999999G", 0, "want bytes a second, such as 500k, 2M or 1G"},
	} {
		var got Rate
		message := ""
		if err := got.Set(c.text); err != nil {
			message = err.Error()
		}
		if int64(got) != c.want || message != c.err {
			t.Errorf("%q: %d, error %q, want %d and %q", c.text, got, message, c.want, c.err)
		}
	}
}
