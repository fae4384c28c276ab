//go:build !k135

package pullmanager

import (
	"context"

	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/kubelet/images/pullmanager"
)

// openRecords opens the records below root as the kubelet does when it starts.
func openRecords(ctx context.Context, root string, intents, pulled int32) (pullmanager.PullRecordsAccessor, error) {
	files, err := pullmanager.NewFSPullRecordsAccessor(klog.FromContext(ctx), root)
	if err != nil {
		return nil, err
	}
	return pullmanager.NewCachedPullRecordsAccessor(klog.FromContext(ctx), files, intents, pulled, 0), nil
}
