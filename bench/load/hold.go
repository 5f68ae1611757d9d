package main

import (
	"errors"
	"net"
	"sync"
	"time"
)

var held []net.Conn

// hold opens tunnels, has each carry one message, and leaves them open.
func hold(job Job) (Result, error) {
	conns, err := openAll(job)
	held = append(held, conns...)
	return Result{Operations: int64(len(conns))}, err
}

// release closes all that are held.
func release(Job) (Result, error) {
	count := len(held)
	closeAll(held)
	held = nil
	return Result{Operations: int64(count)}, nil
}

// first waits until a tunnel can be had, and a byte sent there and back.
func first(job Job) (Result, error) {
	job.Parallel = 1
	deadline := time.Now().Add(time.Duration(job.Seconds * float64(time.Second)))
	for {
		conns, err := openAll(job)
		closeAll(conns)
		if err == nil {
			return Result{Operations: 1}, nil
		}
		if time.Now().After(deadline) {
			return Result{}, err
		}
		time.Sleep(time.Millisecond)
	}
}

// How many tunnels are being opened at once.
const opening = 64

// openAll opens the job's tunnels; those for echoes have sent a byte there and back.
func openAll(job Job) ([]net.Conn, error) {
	conns := make([]net.Conn, job.Parallel)
	errs := make([]error, job.Parallel)
	places := make(chan struct{}, opening)
	var group sync.WaitGroup
	for i := range conns {
		group.Add(1)
		places <- struct{}{}
		go func() {
			defer group.Done()
			conns[i], errs[i] = openTunnel(job)
			if errs[i] == nil && job.Workload != "down" && job.Workload != "up" {
				message, answer := echoMessage(1)
				errs[i] = roundTrip(conns[i], message, answer)
			}
			<-places
		}()
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return conns, err
		}
	}
	return conns, nil
}

func closeAll(conns []net.Conn) {
	for _, conn := range conns {
		if conn != nil {
			conn.Close()
		}
	}
}

func asError(failure any) error {
	if failure == nil {
		return nil
	}
	return errors.New(failure.(string))
}
