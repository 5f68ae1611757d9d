// Load plays both ends of a proxy: the clients, and the upstream that they reach
// through it. It prints the upstream's address, then takes one job a line on
// standard input, as JSON, and answers each with one line of JSON.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"
)

// Job is one line of input.
type Job struct {
	// Workload is a key of workloads.
	Workload string `json:"workload"`
	// Address is the proxy's, or the upstream's own.
	Address string `json:"address"`
	// Connect asks for a tunnel by an HTTP CONNECT; without it bytes just flow.
	Connect bool `json:"connect"`
	// Parallel is how many tunnels are open at once.
	Parallel int `json:"parallel"`
	// MessageBytes is the size of one message of a round trip.
	MessageBytes int `json:"messageBytes"`
	// Seconds is for how long; Operations ends the job earlier.
	Seconds    float64 `json:"seconds"`
	Operations int64   `json:"operations"`
}

// Result is one line of output.
type Result struct {
	Operations int64   `json:"operations"`
	Bytes      int64   `json:"bytes"`
	Seconds    float64 `json:"seconds"`
	// FirstEcho and Echo are those of beside-bulk.
	FirstEcho *Quantiles `json:"firstEcho,omitempty"`
	Echo      *Quantiles `json:"echo,omitempty"`
	Error     string     `json:"error,omitempty"`
}

// How long a job may take beyond its time before the proxy counts as stuck.
const patience = 20 * time.Second

func main() {
	log.SetFlags(0)
	var err error
	if upstreamAddress, err = startUpstream(); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("{\"upstream\":%q}\n", upstreamAddress)
	lines := bufio.NewScanner(os.Stdin)
	output := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var job Job
		if err := json.Unmarshal(lines.Bytes(), &job); err != nil {
			log.Fatal(err)
		}
		output.Encode(run(job))
	}
}

func run(job Job) Result {
	workload, known := workloads[job.Workload]
	if !known {
		return Result{Error: "no such workload: " + job.Workload}
	}
	limit := time.Duration(job.Seconds*float64(time.Second)) + patience
	stuck := time.AfterFunc(limit, func() {
		log.Fatalf("%s through %s: stuck", job.Workload, job.Address)
	})
	defer stuck.Stop()
	started := time.Now()
	result, err := workload(job)
	if result.Seconds == 0 {
		result.Seconds = time.Since(started).Seconds()
	}
	if err != nil {
		result.Error = err.Error()
	}
	return result
}
