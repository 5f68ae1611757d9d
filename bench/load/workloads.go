package main

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// What a job may ask for. A result without seconds took as long as the call.
var workloads = map[string]func(Job) (Result, error){
	"connections": connections,
	"round-trips": roundTrips,
	"held-trips":  heldTrips,
	"down":        bulkDown,
	"up":          bulkUp,
	"hold":        hold,
	"release":     release,
	"first":       first,
	"beside-bulk": besideBulk,
}

// connections opens a tunnel, sends a byte there and back, closes it, and so on. The upstream
// closes first, for whoever does keeps the port busy for a minute: clients and proxies would soon
// have used up theirs, and the kernel would do little but look for a free one.
func connections(job Job) (Result, error) {
	return repeat(job, func() (func() error, error) {
		return func() error {
			conn, err := openTunnel(job)
			if err != nil {
				return err
			}
			defer conn.Close()
			if _, err := conn.Write([]byte{once}); err != nil {
				return err
			}
			answer, err := io.ReadAll(conn)
			if err == nil && len(answer) != 1 {
				err = fmt.Errorf("%d bytes came back, not 1", len(answer))
			}
			return err
		}, nil
	})
}

// roundTrips sends messages there and back, one after the other on each tunnel.
func roundTrips(job Job) (Result, error) {
	conns, err := openAll(job)
	defer closeAll(conns)
	if err != nil {
		return Result{}, err
	}
	return roundTripsOn(conns, job)
}

// heldTrips does the same on the tunnels that are held: to open them costs nothing here.
func heldTrips(job Job) (Result, error) {
	job.Parallel = len(held)
	return roundTripsOn(held, job)
}

func roundTripsOn(conns []net.Conn, job Job) (Result, error) {
	var next atomic.Int64
	return repeat(job, func() (func() error, error) {
		conn := conns[next.Add(1)-1]
		message, answer := echoMessage(job.MessageBytes)
		return func() error { return roundTrip(conn, message, answer) }, nil
	})
}

// repeat runs as many loops at once as the job says, until its end has come.
func repeat(job Job, start func() (func() error, error)) (Result, error) {
	var done, begun atomic.Int64
	var failure atomic.Value
	var group sync.WaitGroup
	deadline := time.Now().Add(time.Duration(job.Seconds * float64(time.Second)))
	for range job.Parallel {
		step, err := start()
		if err != nil {
			return Result{}, err
		}
		group.Add(1)
		go func() {
			defer group.Done()
			for failure.Load() == nil && time.Now().Before(deadline) {
				if job.Operations > 0 && begun.Add(1) > job.Operations {
					return
				}
				if err := step(); err != nil {
					failure.CompareAndSwap(nil, err.Error())
					return
				}
				done.Add(1)
			}
		}()
	}
	group.Wait()
	result := Result{Operations: done.Load(), Bytes: done.Load() * int64(job.MessageBytes)}
	return result, asError(failure.Load())
}

// bulkDown reads what the upstream writes.
func bulkDown(job Job) (Result, error) {
	var readBytes atomic.Int64
	err := flow(job, source, func(conn net.Conn, buffer []byte) error {
		count, err := conn.Read(buffer)
		readBytes.Add(int64(count))
		return err
	})
	return Result{Bytes: readBytes.Load()}, err
}

// bulkUp writes what the upstream reads, and counts what has come there.
func bulkUp(job Job) (Result, error) {
	before := sunkBytes.Load()
	err := flow(job, sink, func(conn net.Conn, buffer []byte) error {
		_, err := conn.Write(buffer)
		return err
	})
	return Result{Bytes: sunkBytes.Load() - before}, err
}

func flow(job Job, mode byte, step func(net.Conn, []byte) error) error {
	conns, err := openAll(job)
	defer closeAll(conns)
	if err != nil {
		return err
	}
	var failure atomic.Value
	var group sync.WaitGroup
	deadline := time.Now().Add(time.Duration(job.Seconds * float64(time.Second)))
	for _, conn := range conns {
		group.Add(1)
		go func() {
			defer group.Done()
			buffer := make([]byte, bulkBytes)
			_, err := conn.Write([]byte{mode})
			for err == nil && time.Now().Before(deadline) {
				err = step(conn, buffer)
			}
			if err != nil {
				failure.CompareAndSwap(nil, err.Error())
			}
		}()
	}
	group.Wait()
	return asError(failure.Load())
}
