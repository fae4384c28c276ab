package cli

import "runtime/debug"

// Version is set by the Makefile. A program built by go install knows its module's version.
var Version = ""

// VersionString is what --version prints.
func VersionString() string {
	if Version != "" {
		return Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
