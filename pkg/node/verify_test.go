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

// slowCRI is a CRI plugin that is not ready for the first questions.
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

// TestProveWaitsForThePlugin: a containerd that has just started is waited for, any other
// error is not, and a check does not wait at all.
func TestProveWaitsForThePlugin(t *testing.T) {
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
		{"not yet, in the words of 1.x", codes.Unknown, 3, verifyTimeout, Ready, false},
		{"never", codes.Unavailable, 1 << 30, verifyTimeout, Unknown, true},
		{"not yet, not waited for", codes.Unavailable, 1, 0, Unknown, true},
		{"broken", codes.Internal, 1, verifyTimeout, Unknown, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &Node{criImages: &slowCRI{code: tt.code, early: tt.early}}
				got, _, err := n.imageStatus(t.Context(), "a:1", dg("id"), time.Now().Add(tt.wait), false)
				if got != tt.want || (err != nil) != tt.fails {
					t.Errorf("got %s, %v", got, err)
				}
			})
		})
	}
}
