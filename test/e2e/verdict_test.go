//go:build linux

package e2e

import (
	"os"
	"testing"
	"time"

	"stowage/internal/registrytest"
)

// app is the image of the rows.
const app = "docker.io/site/app:1.0"

// verdictRows are states of a node in which the kubelet decides whether pods may use what
// load brought.
var verdictRows = []struct {
	name string
	run  func(t *testing.T, c *cluster, sandbox string)
}{
	{"loaded first", loadedFirst},
	{"answered pulls", answeredPulls},
	{"interrupted pull", interruptedPull},
	{"interrupted pull, intent left", intentLeft},
	{"pull in progress", pullInProgress},
	{"pulled under another name", pulledUnderAnotherName},
	{"pulled with a secret", pulledWithSecret},
	{"AlwaysVerify", alwaysVerify},
}

// loadedFirst is the plain case: the kubelet has never pulled the image.
func loadedFirst(t *testing.T, c *cluster, sandbox string) {
	l := newLab(t, c, sandbox, registrytest.Policy{}, nil)
	l.add(t, "site/app", "1.0", 1)
	tarball := l.bundle(t, app)
	l.cutOff(t)
	mounting := one(app, "IfNotPresent")
	mounting.Containers[0].VolumeMounts = []mount{{Name: "data", MountPath: "/mnt"}}
	mounting.Volumes = []volume{{Name: "data", Image: &imageVolume{Reference: app}}}

	l.check(t, absent, tarball)
	l.try(t, attempt{name: "nothing loaded", spec: one(app, "IfNotPresent")})
	l.loadWith(t, good, tarball)
	l.try(t, attempt{name: "IfNotPresent", spec: one(app, "IfNotPresent"), runs: true, checks: policyAllowed})
	l.try(t, attempt{name: "Never", spec: one(app, "Never"), runs: true, checks: policyAllowed})
	l.try(t, attempt{name: "image volume", spec: mounting, runs: true, checks: policyAllowed})
}

// answeredPulls lets the kubelet ask a registry about an image that is on the node: first
// none answers, then load serve does.
func answeredPulls(t *testing.T, c *cluster, sandbox string) {
	l := newLab(t, c, sandbox, registrytest.Policy{}, nil)
	l.add(t, "site/app", "1.0", 1)
	tarball := l.bundle(t, app)
	l.cutOff(t)
	l.load(t, tarball)
	// The admission plugin makes every pull policy Always.
	always := c.startAPIServer(t, firstAPIPort+1, "--enable-admission-plugins", "AlwaysPullImages")
	try := func(runs bool) {
		t.Helper()
		l.try(t, attempt{name: "Always", spec: one(app, "Always"), runs: runs})
		l.try(t, attempt{name: "AlwaysPullImages", spec: one(app, "Never"), runs: runs, api: always})
	}
	try(false)
	server := l.serve(t)
	try(true)
	stays := podOf(l.site.name+"-stays", one(app, "Always"))
	l.kubelet.put(t, stays)
	l.kubelet.waitPod(t, stays.Metadata.Name, running)
	l.try(t, attempt{name: "not on the node", spec: one("docker.io/site/absent:1.0", "IfNotPresent")})

	// The end of load serve harms no pod that runs, and a pod that asks no registry starts.
	if err := server.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-server.ended
	l.try(t, attempt{name: "IfNotPresent, load serve killed", spec: one(app, "IfNotPresent"), runs: true, checks: recordFound})
	l.try(t, attempt{name: "Always, load serve killed", spec: one(app, "Always")})
	left := l.kubelet.waitPod(t, stays.Metadata.Name, running)
	if n := left.Status.ContainerStatuses[0].RestartCount; n != 0 {
		t.Errorf("the pod that ran when load serve was killed was restarted %d times", n)
	}
	l.kubelet.remove(t, stays)
}

// hangingPull returns a node on which a pull hangs in both layers of an image, a bundle of
// the image, the pod, and the files in which the kubelet notes the pull.
func hangingPull(t *testing.T, c *cluster, sandbox string) (l *lab, tarball string, p pod, intents map[string]string) {
	t.Helper()
	l = newLab(t, c, sandbox, registrytest.Policy{}, nil)
	l.add(t, "site/app", "1.0", 1)
	tarball = l.bundle(t, app)
	l.registry.Reset()
	l.registry.SetFaults(func(f *registrytest.Faults) {
		f.Only.Kinds = []registrytest.Kind{registrytest.KindBlob}
		f.Stall = registrytest.Interrupt{After: 1000, Times: registrytest.Always}
	})
	p = newPod(l.site.name+"-waits", container{Image: app, ImagePullPolicy: "IfNotPresent"})
	l.kubelet.put(t, p)
	for end := time.Now().Add(patience); l.registry.Counts().BlobGets < 3; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the kubelet has not pulled as far as the layers")
		}
	}
	intents = l.kubelet.intents(t)
	if noted := len(intents) > 0; noted != l.kubelet.verifies() {
		t.Fatalf("intents during the pull: %q", intents)
	}
	return l, tarball, p, intents
}

// killedInPull is hangingPull after the kubelet was killed, and its network was cut off.
func killedInPull(t *testing.T, c *cluster, sandbox string) (l *lab, tarball string, p pod, intents map[string]string) {
	t.Helper()
	l, tarball, p, intents = hangingPull(t, c, sandbox)
	l.kubelet.kill(t)
	l.cutOff(t)
	return l, tarball, p, intents
}

// pullInProgress loads while the kubelet pulls the image. It is ready when the pull has
// failed.
func pullInProgress(t *testing.T, c *cluster, sandbox string) {
	l, tarball, p, _ := hangingPull(t, c, sandbox)
	l.loadWith(t, refuses("an interrupted pull is recorded"), tarball)
	l.try(t, attempt{name: "Never", spec: one(app, "Never"), checks: mustAuthenticate})
	l.cutOff(t)
	l.kubelet.waitPod(t, p.Metadata.Name, running)
	l.check(t, good, tarball)
	l.try(t, attempt{name: "Never, after the pull", spec: one(app, "Never"), runs: true, checks: policyAllowed})
}

// interruptedPull loads while no kubelet runs: load removes the intent, so that the kubelet
// does not take the image for one that it has pulled.
func interruptedPull(t *testing.T, c *cluster, sandbox string) {
	l, tarball, p, _ := killedInPull(t, c, sandbox)
	l.load(t, "--kubelet-dir", l.root("kubelet"), tarball)
	if left := l.kubelet.intents(t); len(left) != 0 {
		t.Errorf("intents after the load: %q", left)
	}
	l.kubelet.start(t)
	l.kubelet.waitPod(t, p.Metadata.Name, running)
	if l.kubelet.verifies() {
		l.assertChecks(t, "the waiting pod", nil, policyAllowed)
	}
	l.check(t, good, tarball)
	l.try(t, attempt{name: "another pod", spec: one(app, "Never"), runs: true, checks: policyAllowed})
}

// intentLeft is the control of interruptedPull: with the intent in its place the kubelet
// refuses the image to every pod.
func intentLeft(t *testing.T, c *cluster, sandbox string) {
	l, tarball, _, intents := killedInPull(t, c, sandbox)
	l.load(t, "--kubelet-dir", l.root("kubelet"), tarball)
	l.machine.do(func() {
		for path, content := range intents {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Error(err)
			}
		}
	})
	l.kubelet.start(t)
	l.kubelet.waitIntents(t)
	l.checkBetweenPulls(t, refuses("recorded without credentials after an interrupted pull"), tarball)
	l.try(t, attempt{name: "IfNotPresent", spec: one(app, "IfNotPresent"), checks: mustAuthenticate})
	l.try(t, attempt{name: "Never", spec: one(app, "Never"), checks: mustAuthenticate})
	l.trust(t, tarball)
	l.try(t, attempt{name: "IfNotPresent, trusted", spec: one(app, "IfNotPresent"), runs: true, checks: recordFound})
	l.try(t, attempt{name: "Never, trusted", spec: one(app, "Never"), runs: true, checks: recordFound})
}

// trust makes the images accessible to all pods of the node, and starts the kubelet again.
func (l *lab) trust(t *testing.T, tarball string) {
	t.Helper()
	l.judge(t, refuses("restart the kubelet"), l.loadArgs("--trust-preloaded", tarball)...)
	l.kubelet.restart(t)
	l.check(t, good, tarball)
}

// pulledUnderAnotherName loads an image whose content the kubelet has pulled from another
// registry, without a secret.
func pulledUnderAnotherName(t *testing.T, c *cluster, sandbox string) {
	l := newLab(t, c, sandbox, registrytest.Policy{}, nil)
	l.add(t, "site/app", "1.0", 1)
	l.add(t, "mirror/app", "1.0", 1)
	tarball := l.bundle(t, app)
	const mirrored = "quay.io/mirror/app:1.0"
	l.try(t, attempt{name: "the pull", spec: one(mirrored, "IfNotPresent"), runs: true})
	l.cutOff(t)
	l.loadWith(t, refuses("pulled before as quay.io/mirror/app"), tarball)
	l.try(t, attempt{name: "IfNotPresent", spec: one(app, "IfNotPresent"), checks: mustAuthenticate})
	l.try(t, attempt{name: "Never", spec: one(app, "Never"), checks: mustAuthenticate})
	l.try(t, attempt{name: "the pulled name", spec: one(mirrored, "Never"), runs: true, checks: recordFound})
	l.trust(t, tarball)
	l.try(t, attempt{name: "trusted", spec: one(app, "Never"), runs: true, checks: recordFound})
	l.try(t, attempt{name: "the pulled name again", spec: one(mirrored, "Never"), runs: true, checks: recordFound})
}

// pulledWithSecret loads an image that the kubelet has pulled with a pod's secret.
func pulledWithSecret(t *testing.T, c *cluster, sandbox string) {
	account := registrytest.Account{User: "operator", Password: "secret-of-the-operator"}
	l := newLab(t, c, sandbox, registrytest.Policy{
		Auth: registrytest.AuthBearer, Accounts: []registrytest.Account{account}, RefuseAnonymous: true,
	}, nil)
	l.add(t, "site/app", "1.0", 1)
	tarball := l.bundle(t, app)
	secret := "regcred-" + l.site.name
	c.create(t, pullSecret(t, secret, account, "https://index.docker.io/v1/"))
	with := func(policy string) podSpec {
		spec := one(app, policy)
		spec.ImagePullSecrets = []named{{secret}}
		return spec
	}
	l.try(t, attempt{name: "the pull", spec: with("IfNotPresent"), runs: true})
	l.cutOff(t)
	l.loadWith(t, refuses("pulled before with secret default/"+secret), tarball)
	l.try(t, attempt{name: "without the secret", spec: one(app, "IfNotPresent"), checks: mustAuthenticate})
	l.try(t, attempt{name: "with the secret", spec: with("Never"), runs: true, checks: recordFound})
	l.serve(t)
	l.try(t, attempt{name: "without the secret, served", spec: one(app, "IfNotPresent"), runs: true, checks: mustAuthenticate})
	l.check(t, good, tarball)
	l.try(t, attempt{name: "without the secret, after that", spec: one(app, "Never"), runs: true, checks: recordFound})
}

// alwaysVerify loads for a kubelet that verifies every image, and for one that verifies
// none.
func alwaysVerify(t *testing.T, c *cluster, sandbox string) {
	policy := func(name string) settings { return settings{"imagePullCredentialsVerificationPolicy": name} }
	l := newLab(t, c, sandbox, registrytest.Policy{}, policy("AlwaysVerify"))
	l.add(t, "site/app", "1.0", 1)
	tarball := l.bundle(t, app)
	l.cutOff(t)
	l.loadWith(t, refuses("policy AlwaysVerify"), tarball)
	l.try(t, attempt{name: "IfNotPresent", spec: one(app, "IfNotPresent"), checks: mustAuthenticate})
	l.try(t, attempt{name: "Never", spec: one(app, "Never"), checks: mustAuthenticate})
	l.serve(t)
	l.try(t, attempt{name: "served", spec: one(app, "IfNotPresent"), runs: true, checks: mustAuthenticate})
	l.try(t, attempt{name: "after that", spec: one(app, "Never"), runs: true, checks: recordFound})
	l.kubelet.configure(t, policy("NeverVerify"))
	l.kubelet.restart(t)
	l.check(t, good, tarball)
	l.try(t, attempt{name: "NeverVerify", spec: one(app, "Never"), runs: true, checks: policyAllowed})
}
