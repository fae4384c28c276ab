package taskgraph

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// recorder records the order in which tasks run.
type recorder struct {
	mu  sync.Mutex
	ran []string
}

func (r *recorder) task(name string, cost int64, err error) *Task {
	return &Task{Cost: cost, Run: func(context.Context) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ran = append(r.ran, name)
		return err
	}}
}

func TestCostliestChainFirst(t *testing.T) {
	var r recorder
	small, large := r.task("small", 1, nil), r.task("large", 50, nil)
	base, top := r.task("base", 10, nil), r.task("top", 60, nil)
	urgent := r.task("urgent", 0, nil)
	urgent.Urgent = true
	top.After(base, nil)
	urgent.After(base)
	must(t, Run(t.Context(), []*Task{small, large, base, top, urgent}, 1))
	want := []string{"base", "urgent", "top", "large", "small"}
	if !slices.Equal(r.ran, want) {
		t.Errorf("order: %v, want %v", r.ran, want)
	}
}

func TestStopsAtFirstError(t *testing.T) {
	var r recorder
	bad := r.task("bad", 5, errors.New("no good"))
	next, other := r.task("next", 100, nil), r.task("other", 1, nil)
	next.After(bad)
	err := Run(t.Context(), []*Task{bad, next, other}, 1)
	if err == nil || err.Error() != "no good" || !slices.Equal(r.ran, []string{"bad"}) {
		t.Errorf("error %v after %v", err, r.ran)
	}
}

func TestJoinsErrorsInOrder(t *testing.T) {
	started := make(chan struct{}, 3)
	ready := make(chan struct{})
	blocked := func(err error) *Task {
		return &Task{Run: func(ctx context.Context) error {
			started <- struct{}{}
			<-ready
			if err == nil {
				<-ctx.Done()
				return ctx.Err()
			}
			return err
		}}
	}
	go func() {
		for range 3 {
			<-started
		}
		close(ready)
	}()
	err := Run(t.Context(), []*Task{blocked(errors.New("first")), blocked(nil), blocked(errors.New("third"))}, 3)
	if got := strings.ReplaceAll(err.Error(), "\n", ", "); got != "first, third" {
		t.Errorf("error: %s", got)
	}
}

func TestContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var r recorder
	err := Run(ctx, []*Task{r.task("never", 1, nil)}, 2)
	if !errors.Is(err, context.Canceled) || len(r.ran) != 0 {
		t.Errorf("error %v after %v", err, r.ran)
	}
	if err := Run(t.Context(), nil, 1); err != nil {
		t.Errorf("no tasks: %v", err)
	}
}

// TestLightTasksHaveOwnQueue keeps every task running until the limit is reached.
func TestLightTasksHaveOwnQueue(t *testing.T) {
	const jobs = 2
	for _, tt := range []struct {
		name         string
		heavy, light int
		want         int // at once
	}{
		{"heavy", 5, 0, jobs},
		{"light", 0, 3 * LightPerJob * jobs, LightPerJob * jobs},
		{"both", 5, 3 * LightPerJob * jobs, jobs + LightPerJob*jobs},
		{"fewer than the limit", 1, 3, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var running, most, ran atomic.Int64
				var tasks []*Task
				for i := range tt.heavy + tt.light {
					tasks = append(tasks, &Task{Light: i < tt.light, Run: func(context.Context) error {
						if n := running.Add(1); n > most.Load() {
							most.Store(n)
						}
						time.Sleep(time.Second) // fake time: it passes when no other task can start
						running.Add(-1)
						ran.Add(1)
						return nil
					}})
				}
				must(t, Run(t.Context(), tasks, jobs))
				if most.Load() != int64(tt.want) || ran.Load() != int64(len(tasks)) {
					t.Errorf("%d of %d tasks, %d at once; want %d", ran.Load(), len(tasks), most.Load(), tt.want)
				}
			})
		})
	}
}
