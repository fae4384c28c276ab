package why

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stowage/internal/fsutil"
)

const (
	calico    = "docker.io/calico/node:v3.28.0"
	theDigest = "sha256:5d5f0000000000000000000000000000000000000000000000000000000000aa"
)

// waiting returns a wait of a container for which the kubelet states a reason.
func waiting(reason, message string) wait {
	w := wait{Waiter: Waiter{Namespace: "default", Pod: "p", Container: "c", Policy: "IfNotPresent", Reason: reason, Message: message}, image: calico}
	w.sure = slices.Contains(imageReasons, reason)
	return w
}

// backOff returns a wait with the message of a failed pull.
func backOff(message string) wait {
	return waiting("ImagePullBackOff", `Back-off pulling image "`+calico+`": ErrImagePull: `+message)
}

// ofNode returns facts of a node without the image, changed by set.
func ofNode(set ...func(*facts)) *facts {
	f := &facts{
		service: "kubelet", containerd: "containerd",
		platform:  "linux/amd64",
		present:   map[string]string{},
		sandbox:   sandbox{"registry.k8s.io/pause:3.10", true},
		sandboxes: map[string]bool{"default/p": true},
	}
	for _, s := range set {
		s(f)
	}
	return f
}

func has(f *facts) { f.present[calico] = "sha256:1d" }

// stores returns a fact: containerd has an image.
func stores(namespace, name string, platforms ...string) func(*facts) {
	return func(f *facts) {
		c := contents{platforms: platforms, matches: len(platforms) == 0 || slices.Contains(platforms, f.platform)}
		f.stored = append(f.stored, storedImage{namespace: namespace, name: name, target: theDigest, contents: c})
	}
}

func bundled(file string, platforms ...string) func(*facts) {
	return func(f *facts) {
		c := contents{platforms: platforms, matches: slices.Contains(platforms, f.platform)}
		f.offers = map[string][]offer{calico: {{file, c}}}
	}
}

// with returns w changed by set.
func with(w wait, set func(*wait)) wait {
	set(&w)
	return w
}

func policy(p string) func(*wait) { return func(w *wait) { w.Policy = p } }

func full(used int) func(*facts) {
	return func(f *facts) {
		f.disks = []disk{{"/var/lib/containerd", fsutil.Usage{Size: 100 << 30, Free: int64(100-used) << 30, Used: used}, 85}}
	}
}

func records(v verdict) func(*facts) {
	return func(f *facts) { f.verdicts = map[string]verdict{calico: v} }
}

// TestCauses checks the kinds of causes, the first above all, and the first command of the
// cure.
func TestCauses(t *testing.T) {
	const (
		limit   = hub + `failed to copy: httpReadSeeker: failed open: unexpected status from GET request to https://registry-1.docker.io/v2/calico/node/manifests/` + theDigest + `: 429 Too Many Requests toomanyrequests: You have reached your unauthenticated pull rate limit`
		refused = do + `dial tcp 192.0.2.7:443: connect: connection refused`
		never   = `Container image "` + calico + `" is not present with pull policy of Never`
	)
	make := "bundle --platform linux/amd64 " + calico + " -o node.tar"
	serve := "sudo load serve --install"
	for _, row := range []struct {
		name  string
		wait  wait
		facts *facts
		kinds []Kind
		cure  string
	}{
		{"pull limit", backOff(limit), ofNode(), []Kind{PullLimit}, make},
		{"pull limit, a bundle is there", backOff(limit), ofNode(bundled("/usb/calico.tar", "linux/amd64")), []Kind{PullLimit}, "sudo load /usb/calico.tar"},
		{"pull limit, a bundle for others is there", backOff(limit), ofNode(bundled("/usb/calico.tar", "linux/arm64")), []Kind{WrongPlatform, PullLimit}, make},
		{"pull limit seen by asking", backOff("429 Too Many Requests"), ofNode(func(f *facts) {
			f.answers = map[string]answer{calico: {quota: quota{known: true, limit: 100, window: 6 * time.Hour}}}
		}), []Kind{PullLimit}, make},
		{"limit of requests", backOff("429 Too Many Requests"), ofNode(), []Kind{RequestRate}, make},
		{"asking finds another failure", backOff("429 Too Many Requests"), ofNode(func(f *facts) {
			f.answers = map[string]answer{calico: {err: do + "dial tcp: lookup registry-1.docker.io on 10.0.0.2:53: no such host"}}
		}), []Kind{DNS}, make},
		{"no account", backOff(res + "pull access denied, repository does not exist or may require authorization"), ofNode(), []Kind{Refused}, make},
		{"unknown authority", backOff(do + "tls: failed to verify certificate: x509: certificate signed by unknown authority"), ofNode(), []Kind{UnknownCA}, make},
		{"back-off of an older kubelet", waiting("ImagePullBackOff", `Back-off pulling image "`+calico+`"`), ofNode(), []Kind{Absent}, make},
		{"unknown failure", backOff(hub + "failed commit on ref: unexpected commit theDigest"), ofNode(), []Kind{Absent}, make},

		{"Always", with(backOff(refused), policy("Always")), ofNode(has), []Kind{PolicyAlways}, serve},
		{"Always, absent", with(backOff(refused), policy("Always")), ofNode(), []Kind{Unreachable}, make},
		{"Never, absent", with(waiting("ErrImageNeverPull", never), policy("Never")), ofNode(), []Kind{NeverPolicy}, make},
		{"Never, there, records", with(waiting("ErrImageNeverPull", never), policy("Never")), ofNode(has, records(verdict{pull: true, text: "an interrupted pull is recorded"})), []Kind{Records}, serve},
		{"records, with a bundle", backOff(refused), ofNode(has, records(verdict{pull: true, text: "x"}), bundled("/usb/c.tar", "linux/amd64")), []Kind{Records}, "sudo load --trust-preloaded /usb/c.tar"},
		{"records, not read yet", backOff(refused), ofNode(has, records(verdict{pull: true, unread: true}), bundled("/usb/c.tar", "linux/amd64")), []Kind{Records}, "sudo systemctl restart kubelet"},
		{"records, policy AlwaysVerify", backOff(refused), ofNode(has, records(verdict{pull: true, policy: true}), bundled("/usb/c.tar", "linux/amd64")), []Kind{Records}, serve},
		{"records name a secret that the pod has", with(waiting("", ""), func(w *wait) { w.secrets = []string{"default/regcred"} }), ofNode(has, records(verdict{pull: true, secrets: []string{"default/regcred"}})), nil, ""},
		{"records of a pod that no kubelet tells of", waiting("", ""), ofNode(has, records(verdict{pull: true})), []Kind{Records}, serve},
		{"there by now", backOff(limit), ofNode(has), []Kind{Retry}, "sudo load why default/p"},
		{"there, inspection fails", waiting("ImageInspectError", "Failed to inspect image"), ofNode(has), []Kind{NotExplained}, "journalctl -u kubelet -n 50"},

		{"namespace default", backOff(refused), ofNode(stores("default", calico, "linux/amd64")), []Kind{WrongNamespace, Unreachable}, "sudo ctr -n default images export node.tar " + calico},
		{"namespace moby, another platform", backOff(refused), ofNode(stores("moby", calico, "linux/arm64")), []Kind{Unreachable}, make},
		{"another registry", backOff(limit), ofNode(stores("k8s.io", "quay.io/calico/node:v3.28.0", "linux/amd64")), []Kind{OtherName, PullLimit}, "sudo ctr -n k8s.io images tag quay.io/calico/node:v3.28.0 " + calico},
		{"another tag", backOff(limit), ofNode(stores("k8s.io", "docker.io/calico/node:v3.27.0", "linux/amd64")), []Kind{PullLimit}, make},
		{"short name in the store", backOff(refused), ofNode(stores("k8s.io", "calico/node:v3.28.0", "linux/amd64")), []Kind{OtherName, Unreachable}, "sudo ctr -n k8s.io images tag calico/node:v3.28.0 " + calico},
		{"another platform in the store", backOff(refused), ofNode(stores("k8s.io", calico, "linux/arm64")), []Kind{WrongPlatform, Unreachable}, make},
		{"another platform at the registry", backOff(hub + "no match for platform in manifest: not found"), ofNode(), []Kind{WrongPlatform}, "bundle --dry-run --platform linux/amd64 " + calico},
		{"program of another platform", waiting("CrashLoopBackOff", "exec /bin/calico-node: exec format error"), ofNode(has, stores("k8s.io", calico, "linux/arm64")), []Kind{WrongPlatform}, make},
		{"content is missing", backOff(refused), ofNode(stores("k8s.io", calico, "linux/amd64"), func(f *facts) { f.stored[0].lacks = 2 }), []Kind{Damaged, Unreachable}, make},
		{"CRI does not show it", backOff(refused), ofNode(stores("k8s.io", calico, "linux/amd64")), []Kind{Damaged, Unreachable}, "sudo systemctl restart containerd"},

		{"no space", backOff(hub + "failed to copy: write /x: no space left on device"), ofNode(full(100)), []Kind{DiskFull}, "df -h /var/lib/containerd"},
		{"no space, there is some by now", backOff(hub + "failed to copy: write /x: no space left on device"), ofNode(full(20)), []Kind{DiskFull}, "df -h /var/lib/containerd"},
		{"no space for a container", waiting("CreateContainerError", "mkdir /x: no space left on device"), ofNode(has, full(100)), []Kind{DiskFull}, "df -h /var/lib/containerd"},
		{"evicted", waiting(evicted, "Pod was rejected: The node had condition: [DiskPressure]."), ofNode(has, full(95)), []Kind{DiskFull}, "df -h /var/lib/containerd"},
		{"evicted long ago", waiting(evicted, "The node was low on resource: memory"), ofNode(has, full(20)), nil, ""},
		{"removed by the kubelet", backOff(refused), ofNode(full(90)), []Kind{Unreachable, DiskFull}, make},

		{"artifact", with(waiting("CreateContainerError", "failed to mount"), func(w *wait) { w.volume = true }), ofNode(has, stores("k8s.io", calico), func(f *facts) { f.stored[0].artifact = true }), []Kind{Artifact}, ""},
		{"not a name", with(waiting("InvalidImageName", "x"), func(w *wait) { w.image = "Calico/Node:v3" }), ofNode(), []Kind{InvalidName}, "bundle scan -f FILE"},
		{"a pull has begun", waiting(creating, ""), ofNode(), []Kind{Pulling}, make},
		{"recorded pull", wait{image: calico}, ofNode(func(f *facts) { f.pulling = map[string]bool{calico: true} }), []Kind{Pulling}, make},
		{"static pod, absent", waiting("", ""), ofNode(), []Kind{Absent}, make},

		{"another matter, image there", waiting(creating, ""), ofNode(has), nil, ""},
		{"another matter, crash", waiting("CrashLoopBackOff", "back-off 5m0s restarting failed container"), ofNode(has), nil, ""},
		{"another matter, crash, image gone", waiting("CrashLoopBackOff", "back-off 5m0s restarting failed container"), ofNode(), nil, ""},
		{"another matter, configuration", waiting("CreateContainerConfigError", `configmap "site" not found`), ofNode(has), nil, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			causes := explain(row.wait, row.facts)
			var kinds []Kind
			for _, c := range causes {
				kinds = append(kinds, c.Kind)
				if strings.ContainsAny(c.Text, "\n") || c.Text == "" || len(c.Cure) == 0 {
					t.Errorf("%s: text %q, cure %q", c.Kind, c.Text, c.Cure)
				}
			}
			if d := cmp.Diff(row.kinds, kinds); d != "" {
				t.Errorf("kinds (-want +got):\n%s%v", d, causes)
			}
			if len(causes) > 0 && row.cure != firstCommand(causes[0].Cure) {
				t.Errorf("cure: got %q, want %q", firstCommand(causes[0].Cure), row.cure)
			}
		})
	}
}

func firstCommand(c Cure) string {
	for _, s := range c {
		if len(s.Run) > 0 {
			return strings.Join(s.Run, " ")
		}
	}
	return ""
}

// TestSandbox checks that pods without a sandbox wait for the sandbox image, once each, and
// that the other rules apply to it.
func TestSandbox(t *testing.T) {
	const pause = "registry.k8s.io/pause:3.10"
	f := ofNode(func(f *facts) {
		f.sandbox.present, f.sandboxes = false, map[string]bool{"default/up": true, "kube-system/etcd-n1": true}
	})
	first, second := waiting(creating, ""), waiting(creating, "")
	second.Container = "d"
	up := with(waiting(creating, ""), func(w *wait) { w.Pod = "up" })
	static := with(waiting("", ""), func(w *wait) { w.Namespace, w.Pod, w.static = "kube-system", "etcd", true })
	got := f.sandboxWaits([]wait{first, second, up, static, backOff("x")})
	var list []string
	for _, w := range got {
		list = append(list, w.Pod+" "+w.Container+" "+w.image)
	}
	want := []string{"p sandbox " + pause, "up c " + calico, "etcd c " + calico, "p c " + calico}
	if d := cmp.Diff(want, list); d != "" {
		t.Errorf("waits (-want +got):\n%s", d)
	}
	if c := explain(got[0], f); len(c) != 1 || c[0].Kind != NoSandbox || firstCommand(c[0].Cure) != "bundle --platform linux/amd64 "+pause+" -o pause.tar" {
		t.Errorf("causes %v", c)
	}
	f.stored = []storedImage{{namespace: "default", name: pause, contents: contents{matches: true}}}
	if c := explain(got[0], f); len(c) != 2 || c[0].Kind != WrongNamespace {
		t.Errorf("causes %v", c)
	}
}

func TestIsOther(t *testing.T) {
	for _, row := range []struct {
		want, have string
		other      bool
	}{
		{calico, calico, false},
		{calico, "quay.io/calico/node:v3.28.0", true},
		{calico, "site.test:5000/mirror/calico/node:v3.28.0", true},
		{calico, "quay.io/calico/node:v3.28.1", false},
		{calico, "quay.io/tigera/node:v3.28.0", false},
		{calico, "calico/node:v3.28.0", true},
		{"docker.io/library/busybox:1", "busybox:1", true},
		{"docker.io/library/busybox:1", "quay.io/busybox:1", true},
		{"docker.io/library/busybox:1", "quay.io/site/busybox:1", false},
		{"docker.io/calico/node@" + theDigest, "docker.io/calico/node:v3.28.0", true},
		{"docker.io/calico/node@sha256:" + strings.Repeat("0", 64), "docker.io/calico/node:v3.28.0", false},
		{calico, "import-2026-01-01@" + theDigest, false},
		{calico, "sha256:" + strings.Repeat("0", 64), false},
	} {
		if got := isOther([]string{row.want}, storedImage{name: row.have, target: theDigest}); got != row.other {
			t.Errorf("%s as %s: got %v, want %v", row.want, row.have, got, row.other)
		}
	}
}
