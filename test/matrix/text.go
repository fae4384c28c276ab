//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

const intro = `# Compatibility

` + "`make matrix`" + ` writes this page. It tests every cell with the real program and fails if one that should work does
not. "ok" is a result of that run; "not run" is followed by the reason, "no" by a remark below the table.
`

const loadNotes = `- **load**: load a bundle from a file into an empty node; CRI knows each name, and a container of each image runs.
- **check**: ` + "`load check`" + ` exits with 3 on the empty node, with 0 after the load, and with 3 after one name was removed.
- **second load**: sends nothing and unpacks nothing.
- **stream**: load the same bundle from a pipe, uncompressed and compressed with zstd, each into an empty node.
- **differential**: ` + "`load`" + ` refuses a bundle made with ` + "`--since`" + ` on an empty node, which stays empty, and loads it after its base.
- **discard**: after ` + "`load --discard-layers`" + ` the content store has no layers, and a container of each image runs.
`

const readerNotes = `**default** is a bundle that ` + "`bundle`" + ` writes by default, **flat** one made with ` + "`--flat`" + `, **zst** one named ` + "`.tar.zst`" + `.
"ok" means that the program read every image of the file under its name and, if it runs containers, that one ran.

`

const writerNotes = `"ok" means that after the load CRI knows each image of the tarball under its name, on the newest containerd above, and
that a container of each image with a program runs.
`

// machine describes the machine of the run.
func machine() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		release = []byte("?")
	}
	version, _, _ := strings.Cut(strings.TrimSpace(string(release)), "-")
	return fmt.Sprintf("Linux %s, %s, runc of the directory of tools, overlayfs", version, runtime.GOARCH)
}
