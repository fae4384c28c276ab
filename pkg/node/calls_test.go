//go:build linux

package node

import (
	"context"
	"fmt"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
)

// calls counts the requests to containerd by service and method.
type calls struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *calls) add(method string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := path.Base(path.Dir(method))
	name = name[strings.LastIndexByte(name, '.')+1:] + "." + path.Base(method)
	if name != "Content.Abort" { // repeated until containerd has unlocked the bundle
		c.counts[name]++
	}
}

// take returns the counts and begins again.
func (c *calls) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := c.counts
	c.counts = map[string]int{}
	return counts
}

// connectCounted connects to a containerd through a connection that counts.
func connectCounted(t *testing.T, machine *nodetest.Node) (*Node, *calls) {
	t.Helper()
	c := &calls{}
	c.take()
	conn, err := grpc.NewClient("unix://"+machine.Address(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			c.add(method)
			return invoke(ctx, method, req, reply, cc, opts...)
		}),
		grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, stream grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			c.add(method)
			s, err := stream(ctx, desc, cc, method, opts...)
			return &countedStream{s, method + "Message", c}, err
		}))
	must(t, err)
	d := &daemon{address: machine.Address()}
	d.client, err = client.NewWithConn(conn)
	must(t, err)
	must(t, d.ask(t.Context()))
	n, err := newNode(t.Context(), d, Options{Namespace: KubernetesNamespace})
	must(t, err)
	t.Cleanup(func() { n.Close(); conn.Close() })
	return n, c
}

// countedStream counts messages as calls.
type countedStream struct {
	grpc.ClientStream
	method string
	calls  *calls
}

func (s *countedStream) SendMsg(m any) error {
	s.calls.add(s.method)
	return s.ClientStream.SendMsg(m)
}

// TestCallsPerImage counts the requests that one more tiny image costs. Most are a transaction
// of containerd's database, and so what a load of many small images waits for.
func TestCallsPerImage(t *testing.T) {
	t.Parallel()
	n, c := connectCounted(t, nodetest.Start(t))
	tiny := func(count int) (first, again map[string]int) {
		n.wipe(t)
		s := newShelf(t)
		var names []string
		for i := range count {
			names = append(names, s.Image(fmt.Sprintf("acme/app-%d", i), "v1", registrytest.Image{Layers: []*registrytest.Layer{
				{Seed: uint64(i), Files: []registrytest.File{{Name: "a", Size: 1 << 10}}},
			}}))
		}
		b := s.Bundle(names...)
		c.take()
		load(t, n, b, LoadOptions{})
		first = c.take()
		delete(first, "ImageService.ImageStatus") // repeated until the CRI plugin has the image
		load(t, n, b, LoadOptions{})
		return first, c.take()
	}
	const few, many = 2, 6
	first, again := tiny(few)
	firstMore, againMore := tiny(many)
	perImage := func(less, more map[string]int) map[string]int {
		each := map[string]int{}
		for name := range more {
			if n := more[name] - less[name]; n != 0 {
				each[name] = n / (many - few)
			}
		}
		return each
	}
	if diff := cmp.Diff(map[string]int{
		"Content.Write":        3, // layer, config and manifest, each with its labels
		"Content.WriteMessage": 3,
		"Snapshots.Prepare":    1,
		"Snapshots.Commit":     1,
		"Images.Create":        3, // image ID, digest and tag
	}, perImage(first, firstMore)); diff != "" {
		t.Errorf("for each image (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{}, perImage(again, againMore)); diff != "" {
		t.Errorf("again, for each image (-want +got):\n%s", diff)
	}
}
