package pullmanager

import (
	"context"
	"slices"
	"testing"

	"github.com/distribution/reference"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
	kubecontainer "k8s.io/kubernetes/pkg/kubelet/container"
	"k8s.io/kubernetes/pkg/kubelet/images/pullmanager"

	"stowage/internal/pullrecords"
)

// kubelet is the pull manager of a kubelet that has started.
type kubelet struct {
	ctx     context.Context
	manager *pullmanager.PullManager
}

// start starts the pull manager on the records below root, as kuberuntime_manager.go does
// for a kubelet with maxPods 110. images are what CRI lists.
func start(root string, s pullrecords.Settings, images []kubecontainer.Image) (*kubelet, error) {
	const maxPods = 110
	ctx := klog.NewContext(context.Background(), klog.Logger{}) // drops its messages
	policy, err := pullmanager.NewImagePullCredentialVerificationPolicy(
		kubeletconfig.ImagePullCredentialsVerificationPolicy(s.Policy), s.Allowlist)
	if err != nil {
		return nil, err
	}
	records, err := openRecords(ctx, root, 2*maxPods, 5*maxPods)
	if err != nil {
		return nil, err
	}
	manager, err := pullmanager.NewImagePullManager(ctx, records, policy, imageService{images: images}, 0)
	if err != nil {
		return nil, err
	}
	return &kubelet{ctx: ctx, manager: manager}, nil
}

// pulls reports whether the kubelet pulls the image for the pod although it is present.
func (k *kubelet) pulls(name, imageRef string, p pullrecords.Pod) (bool, error) {
	return k.manager.MustAttemptImagePull(k.ctx, name, imageRef,
		func() (secrets []kubeletconfig.ImagePullSecret, account *kubeletconfig.ImagePullServiceAccount, err error) {
			for _, s := range p.Secrets {
				secrets = append(secrets, kubeletconfig.ImagePullSecret{UID: s.UID, Namespace: s.Namespace, Name: s.Name, CredentialHash: s.Hash})
			}
			for _, a := range p.ServiceAccounts {
				account = &kubeletconfig.ImagePullServiceAccount{UID: a.UID, Namespace: a.Namespace, Name: a.Name}
			}
			return secrets, account, nil
		})
}

// imageService is CRI's list of images.
type imageService struct {
	kubecontainer.ImageService
	images []kubecontainer.Image
}

func (s imageService) ListImages(context.Context) ([]kubecontainer.Image, error) {
	return s.images, nil
}

// checks returns the kubelet's own count of its decisions, by result.
func checks(t *testing.T) map[string]int {
	t.Helper()
	families, err := legacyregistry.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, f := range families {
		if f.GetName() != "kubelet_imagemanager_image_mustpull_checks_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			counts[m.GetLabel()[0].GetValue()] = int(m.GetCounter().GetValue())
		}
	}
	return counts
}

// sameRepository reports whether name is of the repository of one of others.
func sameRepository(name string, others []string) bool {
	repository := func(name string) string {
		named, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			return ""
		}
		return named.Name()
	}
	return slices.ContainsFunc(others, func(o string) bool { return repository(o) == repository(name) })
}
