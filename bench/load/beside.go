package main

import (
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// standing is how many tunnels there are beside the downloads, one echo at a time each.
	standing = 4
	// newcomers is how many clients open one tunnel after the other.
	newcomers = 2
	// pause is the time between two operations of one client, so that they are few beside the bulk.
	pause = 5 * time.Millisecond
	// settling is the time in which the downloads come to their speed.
	settling = 300 * time.Millisecond
)

// besideBulk measures, beside the job's downloads at full speed, the time of connecting up to the
// first echo, and of echoes on tunnels that stood before.
func besideBulk(job Job) (Result, error) {
	echoes, err := openAll(Job{Address: job.Address, Connect: job.Connect, Parallel: standing})
	defer closeAll(echoes)
	if err != nil {
		return Result{}, err
	}
	job.Workload = "down"
	downloads, err := openAll(job)
	if err != nil {
		closeAll(downloads)
		return Result{}, err
	}
	var readBytes atomic.Int64
	var group sync.WaitGroup
	for _, conn := range downloads {
		group.Go(func() { download(conn, &readBytes) })
	}
	time.Sleep(settling)
	readBytes.Store(0)
	started := time.Now()
	first, echo, err := besideOnes(job, echoes)
	result := Result{
		Bytes: readBytes.Load(), Seconds: time.Since(started).Seconds(),
		FirstEcho: quantiles(first), Echo: quantiles(echo),
	}
	closeAll(downloads)
	group.Wait()
	return result, err
}

// download reads until the connection is closed.
func download(conn net.Conn, readBytes *atomic.Int64) {
	if _, err := conn.Write([]byte{source}); err != nil {
		return
	}
	buffer := make([]byte, bulkBytes)
	for {
		count, err := conn.Read(buffer)
		readBytes.Add(int64(count))
		if err != nil {
			return
		}
	}
}

// besideOnes runs all clients that are not downloads, and returns what their operations took.
func besideOnes(job Job, echoes []net.Conn) (first, echo []time.Duration, err error) {
	deadline := time.Now().Add(time.Duration(job.Seconds * float64(time.Second)))
	var mutex sync.Mutex
	var group sync.WaitGroup
	run := func(times *[]time.Duration, step func() error) {
		group.Go(func() {
			for time.Now().Before(deadline) {
				began := time.Now()
				failure := step()
				took := time.Since(began)
				mutex.Lock()
				*times = append(*times, took)
				if failure != nil {
					err = failure
				}
				mutex.Unlock()
				if failure != nil {
					return
				}
				time.Sleep(pause)
			}
		})
	}
	for range newcomers {
		run(&first, func() error { return firstEcho(job) })
	}
	for _, conn := range echoes {
		message, answer := echoMessage(job.MessageBytes)
		run(&echo, func() error { return roundTrip(conn, message, answer) })
	}
	group.Wait()
	return first, echo, err
}

// firstEcho opens a tunnel and sends a byte there and back.
func firstEcho(job Job) error {
	conn, err := openTunnel(job)
	if err != nil {
		return err
	}
	defer conn.Close()
	message, answer := echoMessage(1)
	return roundTrip(conn, message, answer)
}

// Quantiles of times, in milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

func quantiles(times []time.Duration) *Quantiles {
	slices.Sort(times)
	at := func(part float64) float64 {
		return times[int(part*float64(len(times)-1)+0.5)].Seconds() * 1000
	}
	return &Quantiles{P50: at(0.5), P99: at(0.99)}
}
