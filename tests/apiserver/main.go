// Command apiserver runs a small real cluster in one process: etcd, a
// kube-apiserver with RBAC, the signer of client certificates, and the kubelet
// of one node with one running pod.
//
// Once everything answers it prints one line of JSON (type ready) on stdout.
// It ends on SIGTERM, or when its stdin ends: a test that dies leaves nothing
// behind. Started again with the same -dir and -port it goes on with the same
// certificates and the same data.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

type options struct {
	dir         string
	port        int
	kubeletPort int
	egressProxy string
}

// ready is what a test needs to know.
type ready struct {
	Address    string `json:"address"`    // of the API server, host:port
	Kubelet    string `json:"kubelet"`    // of the node, host:port
	CA         string `json:"ca"`         // file
	Kubeconfig string `json:"kubeconfig"` // file, JSON, contexts "admin" and "guest"
	Pod        string `json:"pod"`        // in namespace "default"
	Pid        int    `json:"pid"`
	StartMs    int64  `json:"startMs"`
}

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", "", "where certificates, data and the kubeconfig are kept (required)")
	flag.IntVar(&o.port, "port", 0, "of the API server; 0 takes a free one")
	flag.IntVar(&o.kubeletPort, "kubelet-port", 0, "of the node's kubelet; 0 takes a free one")
	flag.StringVar(&o.egressProxy, "egress-proxy", "",
		"HOST:PORT of an HTTP CONNECT proxy through which the API server reaches its nodes")
	flag.Parse()

	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "apiserver:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	started := time.Now()
	if o.dir == "" {
		return errors.New("-dir is required")
	}
	files, err := writeFiles(o.dir)
	if err != nil {
		return fmt.Errorf("certificates: %w", err)
	}

	store, err := startEtcd(filepath.Join(o.dir, "etcd"))
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	defer store.Close()

	node, err := startKubelet(o.kubeletPort, files)
	if err != nil {
		return fmt.Errorf("kubelet: %w", err)
	}

	api, err := startControlPlane(o, files, store)
	if err != nil {
		return fmt.Errorf("kube-apiserver: %w", err)
	}
	go stopWithStdin()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	client, err := kubernetes.NewForConfig(&rest.Config{
		Host:            "https://" + api.address,
		BearerToken:     adminToken,
		TLSClientConfig: rest.TLSClientConfig{CAFile: files.ca},
	})
	if err != nil {
		return err
	}
	if err := startSigner(ctx, client, files); err != nil {
		return fmt.Errorf("signer: %w", err)
	}
	registered := make(chan error, 1)
	go func() { registered <- register(ctx, client, node) }()
	select {
	case err := <-api.ended:
		return err
	case err := <-registered:
		if err != nil {
			return fmt.Errorf("registering the node: %w", err)
		}
	}

	if err := json.NewEncoder(os.Stdout).Encode(ready{
		Address:    api.address,
		Kubelet:    node.String(),
		CA:         files.ca,
		Kubeconfig: files.kubeconfig,
		Pod:        podName,
		Pid:        os.Getpid(),
		StartMs:    time.Since(started).Milliseconds(),
	}); err != nil {
		return err
	}
	return <-api.ended
}

// stopWithStdin ends the process as SIGTERM would, once nobody holds the other
// end of stdin any more.
func stopWithStdin() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
}

// freePort returns a loopback port nobody listens on: kube-apiserver and etcd
// do not say which one port 0 gave them.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}
