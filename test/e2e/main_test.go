//go:build linux

package e2e

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if settings := os.Getenv(initVariable); settings != "" {
		if err := runInit(settings); err != nil {
			fmt.Fprintln(os.Stderr, "first process of the machine:", err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if err := clean(); err != nil {
		fmt.Fprintln(os.Stderr, "clean up:", err)
		code = 1
	}
	os.Exit(code)
}
