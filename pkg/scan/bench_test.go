package scan

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// deployment is a document of about 1.4 kB, the way kubectl prints them.
func deployment(n int) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: app-%[1]d
  namespace: demo
  labels: {app.kubernetes.io/name: app, app.kubernetes.io/instance: "%[1]d"}
  annotations:
    deployment.kubernetes.io/revision: "7"
spec:
  replicas: 3
  selector:
    matchLabels: {app.kubernetes.io/instance: "%[1]d"}
  template:
    metadata:
      labels: {app.kubernetes.io/instance: "%[1]d"}
    spec:
      serviceAccountName: app
      containers:
      - name: app
        image: registry.example.net/demo/app:%[2]d
        imagePullPolicy: IfNotPresent
        args: [--listen=0.0.0.0:8080, --leader-elect, "--sidecar-image=registry.example.net/demo/sidecar:%[2]d"]
        env:
        - name: POD_NAMESPACE
          valueFrom:
            fieldRef:
              fieldPath: metadata.namespace
        - name: DATABASE
          value: postgres://db.demo.svc:5432/app
        ports:
        - containerPort: 8080
          name: http
          protocol: TCP
        readinessProbe:
          httpGet:
            path: /healthz
            port: http
          periodSeconds: 10
        resources:
          limits: {cpu: "1", memory: 512Mi}
          requests: {cpu: 100m, memory: 128Mi}
        volumeMounts:
        - mountPath: /etc/app
          name: config
      volumes:
      - name: config
        configMap:
          name: app-%[1]d
`, n, n%50)
}

// schema is a CustomResourceDefinition of about the given size.
func schema(size int) string {
	var b strings.Builder
	b.WriteString("apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: things.demo.example.net\nspec:\n  versions:\n")
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "  - name: v%d\n    schema:\n      openAPIV3Schema:\n        properties:\n          image:\n            description: |-\n"+
			"              The image of the container, more on images at\n              https://example.net/docs: a text: with colons\n            type: string\n", i)
	}
	return b.String()
}

// stream reads documents from next until it has left bytes of them.
type stream struct {
	next func(n int) string
	left int
	n    int
	buf  strings.Reader
}

func (s *stream) Read(p []byte) (int, error) {
	if s.buf.Len() == 0 {
		if s.left <= 0 {
			return 0, io.EOF
		}
		doc := s.next(s.n) + "---\n"
		s.n++
		s.left -= len(doc)
		s.buf.Reset(doc)
	}
	return s.buf.Read(p)
}

func benchScan(b *testing.B, src []byte, images int) {
	b.ReportAllocs()
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		s := New(Options{})
		if err := s.Scan("bench", bytes.NewReader(src)); err != nil {
			b.Fatal(err)
		}
		if got := len(s.Result().References); got != images {
			b.Fatalf("%d images, want %d", got, images)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)*1000, "ms/manifest")
}

// BenchmarkScanInstall: how long 3.5 MB of an operator's install manifest take, nearly all
// of it schemas.
func BenchmarkScanInstall(b *testing.B) {
	var src strings.Builder
	for i := range 10 {
		src.WriteString(schema(345<<10) + "---\n" + deployment(i) + "---\n")
	}
	benchScan(b, []byte(src.String()), 20)
}

// BenchmarkScanObjects: how long 3.5 MB of plain objects take, every one of which is
// parsed.
func BenchmarkScanObjects(b *testing.B) {
	src, err := io.ReadAll(&stream{next: deployment, left: 3500 << 10})
	if err != nil {
		b.Fatal(err)
	}
	benchScan(b, src, 2*strings.Count(string(src), "kind:"))
}

// BenchmarkScanOneDocument: the same objects as one List of 3.5 MB, which no second
// processor can help with.
func BenchmarkScanOneDocument(b *testing.B) {
	var src strings.Builder
	src.WriteString("kind: List\nitems:\n")
	n := 0
	for ; src.Len() < 3500<<10; n++ {
		src.WriteString("- " + strings.ReplaceAll(strings.TrimSuffix(deployment(n), "\n"), "\n", "\n  ") + "\n")
	}
	benchScan(b, []byte(src.String()), 2*n)
}

// BenchmarkScanText: 3.5 MB of dashboards and rules in ConfigMaps, without any image.
func BenchmarkScanText(b *testing.B) {
	panel := `{"title": "CPU", "targets": [{"expr": "sum(rate(cpu_total{job=\"x\"}[5m])) by (pod)"}], "datasource": "prometheus:9090"}`
	doc := "kind: ConfigMap\ndata:\n  dashboard.json: |\n    [" + strings.Repeat(panel+",\n    ", 2000) + panel + "]\n"
	benchScan(b, []byte(strings.Repeat(doc+"---\n", 14)), 0)
}

// peak returns the largest heap, in MiB, while f runs.
func peak(f func()) float64 {
	runtime.GC()
	var largest atomic.Uint64
	stop, stopped := make(chan bool), make(chan bool)
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				largest.Store(max(largest.Load(), m.HeapAlloc))
			}
		}
	}()
	f()
	close(stop)
	<-stopped
	return float64(largest.Load()) / (1 << 20)
}

// BenchmarkScanStream: 200 MB of schemas and objects without images in one stream; the peak
// of the heap shows that memory does not grow with it.
func BenchmarkScanStream(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(50))
	const size = 200 << 20
	b.SetBytes(size)
	plain := strings.ReplaceAll(strings.ReplaceAll(deployment(1), "image", "img"), "registry.example.net/", "")
	crd := schema(256 << 10)
	mib := 0.0
	for b.Loop() {
		next := func(n int) string {
			if n%100 == 0 {
				return crd
			}
			return plain
		}
		mib = peak(func() {
			s := New(Options{})
			if err := s.Scan("bench", &stream{next: next, left: size}); err != nil {
				b.Fatal(err)
			}
			if got := len(s.Result().References); got != 0 {
				b.Fatalf("%d images", got)
			}
		})
	}
	b.ReportMetric(mib, "peak-MiB")
}

// TestScanStreamMemory holds the same at 4 MB, whose nodes alone would be some 200 MB.
func TestScanStreamMemory(t *testing.T) {
	doc := strings.ReplaceAll(strings.ReplaceAll(deployment(1), "image", "img"), "registry.example.net/", "")
	run := func(size int) float64 {
		return peak(func() {
			s := New(Options{})
			if err := s.Scan("test", &stream{next: func(int) string { return doc }, left: size}); err != nil {
				t.Fatal(err)
			}
		})
	}
	small, large := run(512<<10), run(4<<20)
	if large > small+24 {
		t.Errorf("peak heap %.0f MiB for 0.5 MB, %.0f MiB for 4 MB", small, large)
	}
}
