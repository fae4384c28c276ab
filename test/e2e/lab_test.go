//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
)

// lab is a node of a cluster with a registry inside the machine, which stands for docker.io
// and quay.io until the node is cut off.
type lab struct {
	*node
	kubelet  *kubelet
	registry *registrytest.Registry
	attempts int // so far
}

// registries are the names that the registry of a lab answers for.
var registries = []string{"docker.io", "quay.io"}

// newLab adds a node that has only the sandbox image.
func newLab(t *testing.T, c *cluster, sandbox string, policy registrytest.Policy, extra settings) *lab {
	t.Helper()
	l := &lab{}
	var err error
	c.machine.do(func() { l.registry, err = registrytest.New(registrytest.Options{Policy: policy}) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.cutOff(t) })
	l.node = c.addNode(t, func(dir string) string {
		return hostsConfig(t, filepath.Join(dir, "certs.d"), l.registry.URL(), registries...)
	})
	l.load(t, sandbox)
	l.kubelet = l.startKubelet(t, extra)
	return l
}

// cutOff ends the registry.
func (l *lab) cutOff(t *testing.T) {
	t.Helper()
	if err := l.registry.Close(); err != nil {
		t.Error(err)
	}
}

// serve starts "load serve", which answers for the registries from now on.
func (l *lab) serve(t *testing.T) *process {
	t.Helper()
	address := strings.Replace(l.site.address, "192.0.2.", "127.0.0.", 1) + ":5480"
	cmd := l.machine.command(programs(t).load, "serve", "--address", l.Address(), "--listen", address)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	p, err := l.machine.startInside(cmd)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		conn, err := l.machine.dial(t.Context(), "tcp", address)
		if err == nil {
			conn.Close()
			break
		}
		select {
		case <-p.ended:
			t.Fatalf("load serve has exited: %v\n%s", p.err, out.String())
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("load serve does not answer: %v", err)
		}
	}
	hostsConfig(t, l.path("certs.d"), "http://"+address, registries...)
	return p
}

// add adds an image whose program runs until it is stopped. The same seed is the same
// image.
func (l *lab) add(t *testing.T, repo, tag string, seed uint64) registrytest.Added {
	t.Helper()
	program, err := registrytest.Program(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	added, err := l.registry.AddImage(repo, tag, registrytest.Image{
		Platform: "linux/" + runtime.GOARCH,
		Config:   ocispec.ImageConfig{Entrypoint: []string{"/bin/start_runit"}},
		Layers: []*registrytest.Layer{
			registrytest.ProgramLayer(program, "bin/start_runit"),
			{Seed: seed, Compression: registrytest.GzipStored, Files: []registrytest.File{{Name: "data", Size: 64 << 10}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return added
}

// bundle writes a bundle of images of the registry.
func (l *lab) bundle(t *testing.T, images ...string) string {
	t.Helper()
	var account registrytest.Account
	if all := l.registry.Policy().Accounts; len(all) > 0 {
		account = all[0]
	}
	return bundleInside(t, l.machine, account, l.registry, filepath.Join(l.site.name, "images.tar"), images...)
}

// verdict is what load and "load check" must say of a bundle.
type verdict struct {
	code    int
	says    string // in its output; empty: anything
	records bool   // it rests on the kubelet's records or policy
}

var (
	good   = verdict{}        // every pod may use the images
	absent = verdict{code: 3} // they are not on the node
)

// refuses is the verdict of a node whose kubelet refuses the images for a reason.
func refuses(reason string) verdict { return verdict{3, reason, true} }

// loadWith loads a bundle, with the verdict that "load check" repeats.
func (l *lab) loadWith(t *testing.T, want verdict, args ...string) {
	t.Helper()
	l.judge(t, want, l.loadArgs(args...)...)
	l.check(t, want, args[len(args)-1])
}

// check runs "load check".
func (l *lab) check(t *testing.T, want verdict, tarball string) {
	t.Helper()
	l.judge(t, want, append([]string{"check"}, l.loadArgs(tarball)...)...)
}

// judge runs load and checks its verdict. A kubelet that verifies nothing makes every
// verdict good that rests on its records.
func (l *lab) judge(t *testing.T, want verdict, args ...string) {
	t.Helper()
	if got, ok := l.says(t, want, args...); !ok {
		t.Errorf("load: exit %d, want %d and %q in the output", got.code, want.code, want.says)
	}
}

// says runs load and reports whether it comes to the verdict.
func (l *lab) says(t *testing.T, want verdict, args ...string) (outcome, bool) {
	t.Helper()
	if want.records && !l.kubelet.verifies() {
		want = good
	}
	got := l.machine.runInside(t, programs(t).load, args...)
	return got, got.code == want.code && strings.Contains(got.stdout+got.stderr, want.says)
}

// checkBetweenPulls is check while a pod waits for the image: as long as the kubelet tries to
// pull it, there is an intent, which is another verdict.
func (l *lab) checkBetweenPulls(t *testing.T, want verdict, tarball string) {
	t.Helper()
	args := append([]string{"check"}, l.loadArgs(tarball)...)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if _, ok := l.says(t, want, args...); ok {
			return
		}
	}
	l.check(t, want, tarball)
}

// attempt is a pod with an image that is on the node.
type attempt struct {
	name   string
	spec   podSpec
	runs   bool
	checks string     // result that the kubelet counts for the check of the image; empty: no check
	api    *apiServer // that creates the pod; nil: that of the nodes
}

// The results that a kubelet counts (pkg/kubelet/images/pullmanager/metrics.go of
// Kubernetes).
const (
	policyAllowed    = "credentialPolicyAllowed" // the image counts as preloaded
	recordFound      = "credentialRecordFound"   // it counts as pulled, and the pod may use it
	mustAuthenticate = "mustAuthenticate"        // a registry has to be asked
)

// try creates a pod, waits for its result and deletes it. A kubelet that verifies nothing
// runs every pod and counts nothing.
func (l *lab) try(t *testing.T, a attempt) {
	t.Helper()
	if a.checks != "" && !l.kubelet.verifies() {
		a.runs, a.checks = true, ""
	}
	l.attempts++
	p := podOf(fmt.Sprintf("%s-%d", l.site.name, l.attempts), a.spec)
	before := l.kubelet.checks(t)
	if a.api == nil {
		l.kubelet.put(t, p)
	} else {
		p.Spec.NodeName = l.site.name
		a.api.create(t, p)
	}
	result := l.kubelet.waitPod(t, p.Metadata.Name, func(p pod) bool { return running(p) || refused(p) })
	if running(result) != a.runs {
		t.Errorf("%s: the pod runs: %v, want %v: %s", a.name, running(result), a.runs, waiting(result))
	}
	t.Logf("%s: %s, %s", a.name, result.Status.Phase, waiting(result))
	l.kubelet.remove(t, p)
	l.assertChecks(t, a.name, before, a.checks)
}

// assertChecks checks that all the kubelet's checks of images since before had the same
// result; empty: there was none.
func (l *lab) assertChecks(t *testing.T, what string, before map[string]int, want string) {
	t.Helper()
	var results []string
	for name, count := range l.kubelet.checks(t) {
		if count > before[name] {
			results = append(results, name)
		}
	}
	slices.Sort(results)
	if got := strings.Join(results, " "); got != want {
		t.Errorf("%s: the kubelet's checks of the image ended with %q, want %q", what, got, want)
	}
}

// refused reports whether the pod's first container waits because the kubelet may not use
// its image.
func refused(p pod) bool {
	return waitsFor("ImagePullBackOff")(p) || waitsFor("ErrImagePull")(p) || waitsFor("ErrImageNeverPull")(p)
}

// waiting returns the messages of the containers that do not run.
func waiting(p pod) string {
	var text []string
	for _, c := range p.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil {
			text = append(text, w.Reason+": "+w.Message)
		}
	}
	return strings.Join(text, "; ")
}

// one returns the specification of a pod with one container.
func one(image, policy string) podSpec {
	return podSpec{Containers: []container{{Name: "main", Image: image, ImagePullPolicy: policy}}}
}

// verifies reports whether the kubelet verifies by default who may use an image
// (KubeletEnsureSecretPulledImages, on since Kubernetes 1.35).
func (k *kubelet) verifies() bool { return k.minor() >= 35 }

// checks returns how often the kubelet has decided whether it must pull an image that is
// present, by result.
func (k *kubelet) checks(t *testing.T) map[string]int {
	t.Helper()
	raw, err := k.get(t.Context(), "/metrics")
	if err != nil {
		t.Fatalf("metrics of the kubelet: %v", err)
	}
	counts := map[string]int{}
	for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), `kubelet_imagemanager_image_mustpull_checks_total{result="`)
		if !ok {
			continue
		}
		result, number, _ := strings.Cut(rest, `"} `)
		if counts[result], err = strconv.Atoi(number); err != nil {
			t.Fatalf("metrics of the kubelet: %q: %v", lines.Text(), err)
		}
	}
	return counts
}

// intents returns the files in which the kubelet notes the pulls in progress, by path.
func (k *kubelet) intents(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	k.node.machine.do(func() {
		paths, _ := filepath.Glob(filepath.Join(k.node.root("kubelet"), "image_manager/pulling/sha256-*"))
		for _, path := range paths {
			raw, _ := os.ReadFile(path) // removed meanwhile
			files[path] = string(raw)
		}
	})
	return files
}

// waitIntents waits until the kubelet has made records of the pulls that an earlier one has
// not finished. It answers before it has done so.
func (k *kubelet) waitIntents(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(patience); len(k.intents(t)) > 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the kubelet leaves these intents: %q", k.intents(t))
		}
	}
}
