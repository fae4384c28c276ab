//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

const head = `# What works with what

This page is written by ` + "`make matrix`" + `, which tries every cell on the real program and fails when one that should
work does not. "ok" is a result of that run; "not run" is followed by the reason, "no" by a remark below the table.
`

const loadNotes = `- **load**: an empty node; the bundle goes in from a file, CRI knows each name, and a container of each image runs.
- **check**: ` + "`load check`" + ` on the empty node ends with 3, after the load with 0, and with 3 again when one name was removed.
- **second load**: nothing is sent and nothing is unpacked.
- **stream**: the same bundle from a pipe, plain and packed with zstd, each on an empty node.
- **differential**: a bundle made with ` + "`--since`" + ` is refused on an empty node, which stays empty, and loads on top of its base.
- **discard**: with ` + "`--discard-layers`" + ` no layer stays in the content store, and a container of each image runs.
`

const readerNotes = `**default** is a bundle as ` + "`bundle`" + ` writes it, **flat** one with ` + "`--flat`" + `, **zst** one named ` + "`.tar.zst`" + `. "ok" means that the program
took every image of the file under its name, and, where it runs containers, that one ran.

`

const writerNotes = `"ok" means that CRI knows each image of the tarball under its name after the load, on the newest containerd above, and that a
container of each that has a program runs.
`

// machine says what the run was made on.
func machine() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		release = []byte("?")
	}
	version, _, _ := strings.Cut(strings.TrimSpace(string(release)), "-")
	return fmt.Sprintf("Linux %s, %s, runc of the folder of tools, overlayfs", version, runtime.GOARCH)
}
