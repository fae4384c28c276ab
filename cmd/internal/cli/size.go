package cli

import "fmt"

// Bytes writes a number of bytes for people, in decimal units as disks and links are sold.
func Bytes(n int64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, prefix := float64(n)/unit, "kMGTPE"
	i := 0
	for value >= 999.95 && i < len(prefix)-1 {
		value /= unit
		i++
	}
	return fmt.Sprintf("%.1f %cB", value, prefix[i])
}

// Count writes a number with its noun: "1 image", "3 images".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
