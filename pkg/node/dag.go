package node

import (
	"container/heap"
	"context"
	"errors"
)

// task is one piece of work that may have to wait for others.
type task struct {
	run    func(context.Context) error
	cost   int64   // of the work, in bytes
	next   []*task // tasks that wait for this one
	waits  int     // tasks this one still waits for
	urgent bool    // goes before all that are not: short, and others wait for it
	light  bool    // waits for containerd's disk more than it works: see [lightPerJob]
	weight int64   // cost of the heaviest way from here to the end
	number int     // position in the list given to runTasks
}

// after makes t wait for others; nil ones do not count.
func (t *task) after(others ...*task) {
	for _, o := range others {
		if o != nil {
			o.next = append(o.next, t)
			t.waits++
		}
	}
}

// lightPerJob is how many light tasks run beside each of the others, so that small
// blobs do not wait for each other's syncs: containerd makes several for each, and
// can do those of several blobs at once.
const lightPerJob = 4

// runTasks runs tasks, at most jobs at once and [lightPerJob] times as many light ones,
// and each after those it waits for; of several that could run, the one with the
// heaviest way before it goes first, urgent ones before all. tasks must be listed after
// what they wait for. The first error ends the context of the others; all errors that
// are not that ending are joined, in the order of the list.
func runTasks(whole context.Context, tasks []*task, jobs int) error {
	ctx, cancel := context.WithCancel(whole)
	defer cancel()
	heavy, light := &lane{free: jobs}, &lane{free: lightPerJob * jobs}
	laneOf := func(t *task) *lane {
		if t.light {
			return light
		}
		return heavy
	}
	for i := len(tasks) - 1; i >= 0; i-- {
		t := tasks[i]
		t.number, t.weight = i, t.cost
		for _, n := range t.next {
			t.weight = max(t.weight, t.cost+n.weight)
		}
		if t.waits == 0 {
			heap.Push(&laneOf(t).ready, t)
		}
	}
	type result struct {
		t   *task
		err error
	}
	results := make(chan result)
	errs := make([]error, len(tasks))
	running := 0
	for failed := false; ; {
		for _, l := range []*lane{light, heavy} {
			for ; l.free > 0 && len(l.ready) > 0 && !failed && ctx.Err() == nil; l.free-- {
				t := heap.Pop(&l.ready).(*task)
				running++
				go func() { results <- result{t, t.run(ctx)} }()
			}
		}
		if running == 0 {
			return taskErrors(whole, errs, failed)
		}
		r := <-results
		running--
		laneOf(r.t).free++
		if r.err != nil {
			errs[r.t.number] = r.err
			failed = true
			cancel()
			continue
		}
		for _, n := range r.t.next {
			if n.waits--; n.waits == 0 {
				heap.Push(&laneOf(n).ready, n)
			}
		}
	}
}

// lane is where tasks of a kind wait for their turn.
type lane struct {
	ready queue
	free  int // how many more may run
}

// taskErrors leaves out the errors of tasks that were only told to end.
func taskErrors(ctx context.Context, errs []error, failed bool) error {
	if !failed || ctx.Err() != nil {
		return ctx.Err()
	}
	var causes []error
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			causes = append(causes, err)
		}
	}
	if len(causes) == 0 {
		causes = errs
	}
	return errors.Join(causes...)
}

// queue is a heap of tasks, the heaviest first, equals in the order of the list.
type queue []*task

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if q[i].urgent != q[j].urgent {
		return q[i].urgent
	}
	if q[i].weight != q[j].weight {
		return q[i].weight > q[j].weight
	}
	return q[i].number < q[j].number
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(*task)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	*q = (*q)[:last]
	return t
}
