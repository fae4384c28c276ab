// Package install wires the read-only registry of `load serve` into a node: containerd asks
// it first for the images of given registries, and the registries themselves as before.
//
//	report, err := install.Install(ctx, install.Options{
//		Listen:     "127.0.0.1:5480",
//		Command:    []string{"/usr/local/bin/load", "serve"},
//		Registries: []string{"docker.io"},
//		Containerd: install.Containerd{Version: "2.4.2", ConfigPath: []string{"/etc/containerd/certs.d"}},
//	})
//
// # What is written
//
// A socket unit of systemd that holds the port from early boot on, and the service that it
// starts. Then an entry for the registry's address, as the first of the hosts that containerd
// asks: in the hosts.toml of each registry (docs/hosts.md of containerd), or in the
// registries.yaml of k3s and RKE2, which write those files when they start.
//
// The lines of an entry are between two marks, and the first mark says what was there before:
// so removing them restores a file byte for byte, whatever else in it has changed since, and
// no other record is needed. A file that cannot be restored so is refused before anything is
// written. The entries are written after the port is taken and removed before it is freed,
// because containerd would answer a login request of any process that listens there.
//
// An installation that fails is undone. One that was interrupted is completed, or removed, by
// the next call.
package install
