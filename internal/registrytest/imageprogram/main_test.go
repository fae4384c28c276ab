package main

import (
	"os"
	"syscall"
	"testing"
)

func TestWaits(t *testing.T) {
	for _, row := range []struct {
		name string
		args []string
		want bool
	}{
		{"pause", nil, true},
		{"start_runit", nil, true},
		{"kube-controllers", []string{"-x"}, true},
		{"calico-node", []string{"-init", "-best-effort"}, false},
		{"check-status", []string{"-r"}, false},
		{"hello", nil, false},
		{"hello", []string{"sleep"}, true},
		{"hello", []string{"a", "sleep"}, false},
	} {
		if got := waits(row.name, row.args); got != row.want {
			t.Errorf("waits(%q, %q) = %v, want %v", row.name, row.args, got, row.want)
		}
	}
}

func TestWaitForSignal(t *testing.T) {
	signals := make(chan os.Signal, 2)
	signals <- syscall.SIGCHLD
	signals <- syscall.SIGTERM
	waitForSignal(signals)
	if len(signals) != 0 {
		t.Error("ended before SIGTERM")
	}
}
