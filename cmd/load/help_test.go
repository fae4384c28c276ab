//go:build linux

package main

import (
	"testing"

	"stowage/cmd/internal/clitest"
)

func TestHelp(t *testing.T) { clitest.Program(t, program()) }
