package main

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
)

// writeEgressConfig makes the API server reach its nodes through the HTTP
// CONNECT proxy at the given address.
//
// In http-connect mode kube-apiserver speaks to its proxy over TLS with client
// certificates or over a Unix socket, never over plain TCP (an http:// URL
// passes its validation and then crashes it), so a relay listens on a socket
// and copies every byte to the proxy, and back, unchanged.
func writeEgressConfig(f files, proxy string) error {
	if err := os.Remove(f.egressSocket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", f.egressSocket)
	if err != nil {
		return err
	}
	go relay(listener, proxy)

	type object = map[string]any
	text, err := json.Marshal(object{
		"apiVersion": "apiserver.k8s.io/v1beta1",
		"kind":       "EgressSelectorConfiguration",
		"egressSelections": []object{{
			"name": "cluster",
			"connection": object{
				"proxyProtocol": "HTTPConnect",
				"transport":     object{"uds": object{"udsName": f.egressSocket}},
			},
		}},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(f.egressConfig, text, 0o600)
}

func relay(listener net.Listener, proxy string) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer client.Close()
			upstream, err := net.Dial("tcp", proxy)
			if err != nil {
				return
			}
			defer upstream.Close()
			exchange(client.(halfCloser), upstream.(halfCloser))
		}()
	}
}

// halfCloser is a connection whose sending side can end alone.
type halfCloser interface {
	io.ReadWriter
	CloseWrite() error
}

// exchange copies both ways, passing each end on, until both have ended.
func exchange(a, b halfCloser) {
	done := make(chan struct{})
	copyThenEnd := func(to, from halfCloser) {
		_, _ = io.Copy(to, from)
		_ = to.CloseWrite()
	}
	go func() {
		copyThenEnd(a, b)
		close(done)
	}()
	copyThenEnd(b, a)
	<-done
}
