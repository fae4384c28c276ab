// Package integration holds the tests that run the programs of others beside ours: those that
// CI systems, charts and packages are made with. Each part is a directory, its programs are
// pinned in the Makefile, and "make integration" runs all of them.
package integration
