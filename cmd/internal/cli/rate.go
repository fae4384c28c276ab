package cli

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Rate is the value of a flag --limit-rate: bytes a second, written as for curl. 0 is no limit.
type Rate int64

// minRate is the least limit. A smaller number is one without its unit: not even the
// metadata of a bundle would arrive in a reasonable time.
const minRate = 1 << 10

// Set reads a number with a unit, such as 500k, 2M or 1.5G.
func (r *Rate) Set(s string) error {
	number, unit := s, 1.0
	if i := len(s) - 1; i > 0 {
		if at := strings.IndexByte("kmg", s[i]|0x20); at >= 0 {
			number, unit = s[:i], float64(int64(1)<<(10*(at+1)))
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || strings.Trim(number, "0123456789.") != "" || n*unit > math.MaxInt64/2 {
		return errors.New("want bytes a second, such as 500k, 2M or 1G")
	}
	if n *= unit; n > 0 && n < minRate {
		return fmt.Errorf("want 1k or more a second, or 0 for no limit; write %sM for megabytes", number)
	}
	*r = Rate(n)
	return nil
}

// String returns the number of bytes.
func (r *Rate) String() string { return strconv.FormatInt(int64(*r), 10) }

// Type returns the name of the type for messages of pflag.
func (r *Rate) Type() string { return "rate" }
