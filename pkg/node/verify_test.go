//go:build linux

package node

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// slowCRI is a CRI plugin that is not ready for the first requests.
type slowCRI struct {
	cri.ImageServiceClient
	code  codes.Code
	early int
}

func (s *slowCRI) ImageStatus(context.Context, *cri.ImageStatusRequest, ...grpc.CallOption) (*cri.ImageStatusResponse, error) {
	if s.early--; s.early >= 0 {
		return nil, status.Error(s.code, "server is not initialized yet")
	}
	return &cri.ImageStatusResponse{Image: &cri.Image{Id: dg("id").String()}}, nil
}

// TestVerifyWaitsForPlugin checks that a CRI plugin that has just started is waited for,
// that other errors are not, and that a check does not wait.
func TestVerifyWaitsForPlugin(t *testing.T) {
	for _, tt := range []struct {
		name  string
		code  codes.Code
		early int
		wait  time.Duration
		want  CRIStatus
		fails bool
	}{
		{"ready", codes.Unavailable, 0, 0, Ready, false},
		{"not yet", codes.Unavailable, 3, verifyTimeout, Ready, false},
		{"not yet, as 1.x reports it", codes.Unknown, 3, verifyTimeout, Ready, false},
		{"never", codes.Unavailable, 1 << 30, verifyTimeout, Unknown, true},
		{"not yet, not waited for", codes.Unavailable, 1, 0, Unknown, true},
		{"broken", codes.Internal, 1, verifyTimeout, Unknown, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				plugin := &slowCRI{code: tt.code, early: tt.early}
				got, _, _, err := imageStatus(t.Context(), plugin, "a:1", dg("id"), time.Now().Add(tt.wait), false)
				if got != tt.want || (err != nil) != tt.fails {
					t.Errorf("got %s, %v", got, err)
				}
			})
		})
	}
}
