package why

import (
	"context"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stowage/internal/fsutil"
	"stowage/internal/manifest"
	"stowage/internal/usable"
	"stowage/pkg/archive"
	"stowage/pkg/node"
)

// runtime is the containerd of the node, read through CRI and its own services.
type runtime struct {
	client *client.Client
	images cri.ImageServiceClient
	pods   cri.RuntimeServiceClient
	on     usable.Platform
}

// connect opens a connection to a containerd that serves a kubelet.
func connect(server node.Server) (*runtime, error) {
	if server.CRI != node.CRIReady {
		return nil, &node.UnavailableError{Reason: node.NoCRI, Address: server.Address}
	}
	platform, err := platforms.Parse(server.Platform)
	if err != nil {
		return nil, fmt.Errorf("platform of the node: %w", err)
	}
	c, err := client.New(server.Address)
	if err != nil {
		return nil, fmt.Errorf("connect to containerd at %s: %w", server.Address, err)
	}
	conn, ok := c.Conn().(*grpc.ClientConn)
	if !ok {
		c.Close()
		return nil, &node.UnavailableError{Reason: node.NotContainerd, Address: server.Address}
	}
	return &runtime{c, cri.NewImageServiceClient(conn), cri.NewRuntimeServiceClient(conn), usable.On(platform)}, nil
}

// imageID returns the ID that CRI has for a name, "" when it does not know it.
func (r *runtime) imageID(ctx context.Context, name string) (string, error) {
	resp, err := r.images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: name}})
	if err != nil {
		return "", fmt.Errorf("ask CRI for %s: %w", name, err)
	}
	return resp.GetImage().GetId(), nil
}

// present returns the image IDs of names, "" for those that CRI does not know. A name that
// CRI refuses is not known.
func (r *runtime) present(ctx context.Context, names []string) (map[string]string, error) {
	ids := map[string]string{}
	for _, name := range names {
		if _, err := archive.Names(name); err != nil {
			continue // CRI answers with an error
		}
		id, err := r.imageID(ctx, name)
		if err != nil {
			return nil, err
		}
		ids[name] = id
	}
	return ids, nil
}

// listed returns the image IDs by all names that CRI lists.
func (r *runtime) listed(ctx context.Context) (map[string]string, error) {
	resp, err := r.images.ListImages(ctx, &cri.ListImagesRequest{})
	if err != nil {
		return nil, fmt.Errorf("ask CRI for its images: %w", err)
	}
	ids := map[string]string{}
	for _, img := range resp.Images {
		for _, name := range slices.Concat(img.RepoTags, img.RepoDigests) {
			ids[name] = img.Id
		}
	}
	return ids, nil
}

// The kubelet's labels of sandboxes and containers (pkg/kubelet/types of Kubernetes).
const (
	labelPod       = "io.kubernetes.pod.name"
	labelNamespace = "io.kubernetes.pod.namespace"
	labelContainer = "io.kubernetes.container.name"
)

// sandboxes returns the pods that have a sandbox, "namespace/name", and for each the names
// of the containers that run or have ended well.
func (r *runtime) sandboxes(ctx context.Context) (map[string]bool, map[string][]string, error) {
	list, err := r.pods.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return nil, nil, fmt.Errorf("ask CRI for its sandboxes: %w", err)
	}
	pods := map[string]bool{}
	for _, p := range list.Items {
		if p.State == cri.PodSandboxState_SANDBOX_READY {
			pods[p.Labels[labelNamespace]+"/"+p.Labels[labelPod]] = true
		}
	}
	all, err := r.pods.ListContainers(ctx, &cri.ListContainersRequest{})
	if err != nil {
		return nil, nil, fmt.Errorf("ask CRI for its containers: %w", err)
	}
	started := map[string][]string{}
	for _, c := range all.Containers {
		if c.State == cri.ContainerState_CONTAINER_RUNNING || c.State == cri.ContainerState_CONTAINER_EXITED {
			pod := c.Labels[labelNamespace] + "/" + c.Labels[labelPod]
			started[pod] = append(started[pod], c.Labels[labelContainer])
		}
	}
	return pods, started, nil
}

// stored returns the image records of all namespaces that have to do with one of names,
// which are normalised.
func (r *runtime) stored(ctx context.Context, names [][]string) ([]storedImage, error) {
	spaces, err := r.client.NamespaceService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list containerd's namespaces: %w", err)
	}
	var found []storedImage
	for _, space := range spaces {
		ctx := namespaces.WithNamespace(ctx, space)
		list, err := r.client.ImageService().List(ctx)
		if err != nil {
			return nil, fmt.Errorf("list the images of namespace %s: %w", space, err)
		}
		for _, img := range list {
			s := storedImage{namespace: space, name: img.Name, target: img.Target.Digest}
			if !slices.ContainsFunc(names, func(n []string) bool { return relevant(n, s) }) {
				continue
			}
			store := r.client.ContentStore()
			s.contents = documentsOf(ctx, store).examine(img.Target, r.on, func(d digest.Digest) bool {
				_, err := store.Info(ctx, d)
				return err == nil
			})
			found = append(found, s)
		}
	}
	return found, nil
}

// documentsOf returns the manifests and configs of a content store.
func documentsOf(ctx context.Context, store content.Store) documents {
	return func(d ocispec.Descriptor) ([]byte, error) {
		info, err := store.Info(ctx, d.Digest)
		if err != nil {
			return nil, err
		}
		if d.Size = info.Size; d.Size > manifest.MaxSize {
			return nil, fmt.Errorf("%s is too large for a manifest: %d bytes", d.Digest, d.Size)
		}
		return content.ReadBlob(ctx, store, d)
	}
}

// imageDisk returns the usage of the disk of containerd's images.
func (r *runtime) imageDisk(ctx context.Context) (disk, error) {
	resp, err := r.images.ImageFsInfo(ctx, &cri.ImageFsInfoRequest{})
	if err != nil {
		return disk{}, fmt.Errorf("ask CRI for the disk of its images: %w", err)
	}
	if len(resp.ImageFilesystems) == 0 {
		return disk{}, fmt.Errorf("CRI does not name the disk of its images")
	}
	return diskOf(resp.ImageFilesystems[0].GetFsId().GetMountpoint())
}

func diskOf(path string) (disk, error) {
	u, err := fsutil.Stat(path)
	return disk{path: path, Usage: u}, err
}
