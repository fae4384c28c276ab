package scan

import (
	"errors"
	"io"
	"sync"
)

// maxWaiting is how many bytes of documents may be read ahead of the one whose result is due. A larger document is
// worked on alone.
const maxWaiting = 4 << 20

// inOrder reads chunks with next until io.EOF, works on up to workers of them at once, and hands the results to add in
// the order of the chunks, all from the calling goroutine. It returns the error of next, when it is not io.EOF, after the
// results of all chunks before.
func inOrder(workers int, next func() (chunk, error), work func(chunk) *docResult, add func(*docResult)) error {
	type job struct {
		chunk chunk
		done  chan *docResult
	}
	jobs := make(chan job)
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for j := range jobs {
				j.done <- work(j.chunk)
			}
		})
	}
	defer wait.Wait()
	defer close(jobs)

	var queue []chan *docResult
	var sizes []int
	waiting := 0
	take := func() {
		add(<-queue[0])
		waiting -= sizes[0]
		queue, sizes = queue[1:], sizes[1:]
	}
	for {
		c, err := next()
		if err != nil {
			for len(queue) > 0 {
				take()
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		for len(queue) > 0 && (waiting+len(c.data) > maxWaiting || len(queue) >= 4*workers) {
			take()
		}
		j := job{c, make(chan *docResult, 1)}
		queue, sizes = append(queue, j.done), append(sizes, len(c.data))
		waiting += len(c.data)
		jobs <- j
	}
}
