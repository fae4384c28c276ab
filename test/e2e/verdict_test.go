//go:build linux

package e2e

import (
	"testing"

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
	l.serve(t)
	try(true)
	l.try(t, attempt{name: "not on the node", spec: one("docker.io/site/absent:1.0", "IfNotPresent")})
}
