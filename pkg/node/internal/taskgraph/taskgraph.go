// Package taskgraph runs tasks that depend on each other, several at once, so that the
// longest chain of work is never left waiting.
//
// Each task states its cost. Of the tasks that are ready, the one with the costliest
// chain of dependents starts first: a lower bound for the whole run is its costliest
// chain, and starting that one late makes the run longer. Light tasks, which mostly wait
// for something else, have a queue and a limit of their own.
package taskgraph

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
)

// LightPerJob is how many light tasks run beside each of the others.
const LightPerJob = 4

// Task is one piece of work. Its fields must not change once [Run] has it.
type Task struct {
	Run    func(context.Context) error
	Cost   int64 // of the work, in any unit; bytes, say
	Urgent bool  // starts before all that are not: it is short, and others wait for it
	Light  bool  // mostly waits, and so does not count as one of the jobs

	dependents []*Task
	pending    int   // dependencies that have not finished
	chain      int64 // cost of the costliest chain that begins here
	number     int   // position in the list given to Run
}

// After makes t wait for others, of which nil ones are ignored.
func (t *Task) After(others ...*Task) {
	for _, o := range others {
		if o != nil {
			o.dependents = append(o.dependents, t)
			t.pending++
		}
	}
}

// Run runs each task after those it depends on: at most jobs at once, and [LightPerJob]
// times as many light ones. Urgent tasks start first, then those with the costliest chain
// of dependents. A task must be listed after its dependencies.
//
// The first error cancels the context of the other tasks, and no further task starts. Run
// waits for those that are running and returns all errors joined, in the order of the
// list, without the cancellations that the first one caused. When ctx ends, its error is
// returned alone.
func Run(ctx context.Context, tasks []*Task, jobs int) error {
	s := &scheduler{
		heavy:   queue{free: jobs},
		light:   queue{free: LightPerJob * jobs},
		results: make(chan result),
		errs:    make([]error, len(tasks)),
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	s.enqueue(tasks)
	for {
		if !s.failed && inner.Err() == nil {
			s.start(inner)
		}
		if s.running == 0 {
			return s.err(ctx)
		}
		if s.finish(<-s.results); s.failed {
			cancel()
		}
	}
}

// scheduler starts tasks in the goroutine that calls Run.
type scheduler struct {
	heavy, light queue
	running      int
	results      chan result
	errs         []error // by the number of the task
	failed       bool
}

// result is how a task ended.
type result struct {
	task *Task
	err  error
}

// queueOf returns the queue in which a task waits.
func (s *scheduler) queueOf(t *Task) *queue {
	if t.Light {
		return &s.light
	}
	return &s.heavy
}

// enqueue computes the chains and queues the tasks without dependencies.
func (s *scheduler) enqueue(tasks []*Task) {
	for i := len(tasks) - 1; i >= 0; i-- {
		t := tasks[i]
		t.number, t.chain = i, t.Cost
		for _, d := range t.dependents {
			t.chain = max(t.chain, t.Cost+d.chain)
		}
		if t.pending == 0 {
			heap.Push(&s.queueOf(t).ready, t)
		}
	}
}

// start starts as many tasks as the limits allow.
func (s *scheduler) start(ctx context.Context) {
	for _, q := range []*queue{&s.light, &s.heavy} {
		for ; q.free > 0 && len(q.ready) > 0; q.free-- {
			t := heap.Pop(&q.ready).(*Task)
			s.running++
			go func() { s.results <- result{t, t.Run(ctx)} }()
		}
	}
}

// finish records how a task ended and queues the tasks that waited for it only.
func (s *scheduler) finish(r result) {
	s.running--
	s.queueOf(r.task).free++
	if r.err != nil {
		s.errs[r.task.number] = r.err
		s.failed = true
		return
	}
	for _, d := range r.task.dependents {
		if d.pending--; d.pending == 0 {
			heap.Push(&s.queueOf(d).ready, d)
		}
	}
}

// err returns the errors of the run without the cancellations that the first one caused.
func (s *scheduler) err(ctx context.Context) error {
	if !s.failed || ctx.Err() != nil {
		return ctx.Err()
	}
	var causes []error
	for _, err := range s.errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			causes = append(causes, err)
		}
	}
	if len(causes) == 0 {
		causes = s.errs
	}
	return errors.Join(causes...)
}

// queue holds the tasks of one kind that are ready.
type queue struct {
	ready ordered
	free  int // how many more may run
}

// ordered is a heap of tasks: urgent ones first, then by chain, then as listed.
type ordered []*Task

func (o ordered) Len() int { return len(o) }
func (o ordered) Less(i, j int) bool {
	if o[i].Urgent != o[j].Urgent {
		return o[i].Urgent
	}
	return cmp.Or(cmp.Compare(o[j].chain, o[i].chain), cmp.Compare(o[i].number, o[j].number)) < 0
}
func (o ordered) Swap(i, j int) { o[i], o[j] = o[j], o[i] }
func (o *ordered) Push(x any)   { *o = append(*o, x.(*Task)) }
func (o *ordered) Pop() any {
	last := len(*o) - 1
	t := (*o)[last]
	*o = (*o)[:last]
	return t
}
