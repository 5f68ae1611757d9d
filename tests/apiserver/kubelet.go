package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"

	"k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// startKubelet serves what an API server asks of a node: exec, attach,
// port-forward and logs of its one container, to the API server's certificate
// alone.
func startKubelet(port int, f files) (net.Addr, error) {
	certificate, err := tls.LoadX509KeyPair(f.servingCert, f.servingKey)
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(f.ca)
	if err != nil {
		return nil, err
	}
	clients := x509.NewCertPool()
	if !clients.AppendCertsFromPEM(ca) {
		return nil, errors.New("no certificate in " + f.ca)
	}
	handler, err := kubeletHandler(newContainer(f.containerScratchRoot))
	if err != nil {
		return nil, err
	}
	listener, err := tls.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port), &tls.Config{
		Certificates: []tls.Certificate{certificate},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    clients,
	})
	if err != nil {
		return nil, err
	}
	go func() { _ = http.Serve(listener, handler) }()
	return listener.Addr(), nil
}

func kubeletHandler(c *container) (http.Handler, error) {
	config := streaming.DefaultConfig
	config.BaseURL = &url.URL{Path: "/"}
	streams, err := streaming.NewServer(config, c)
	if err != nil {
		return nil, err
	}

	// As a real kubelet does, each request is first announced to the streaming
	// server, which answers with the URL where the streams are then served.
	serve := func(w http.ResponseWriter, r *http.Request, at string, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r = r.Clone(r.Context())
		r.URL.Path, r.URL.RawPath = at, ""
		streams.ServeHTTP(w, r)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("/exec/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		wanted, err := remotecommand.NewOptions(r)
		if err != nil {
			serve(w, r, "", err)
			return
		}
		response, err := streams.GetExec(&v1.ExecRequest{
			ContainerId: r.PathValue("container"),
			Cmd:         r.URL.Query()["command"],
			Stdin:       wanted.Stdin,
			Stdout:      wanted.Stdout,
			Stderr:      wanted.Stderr,
			Tty:         wanted.TTY,
		})
		serve(w, r, response.GetUrl(), err)
	})
	mux.HandleFunc("/attach/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		wanted, err := remotecommand.NewOptions(r)
		if err != nil {
			serve(w, r, "", err)
			return
		}
		response, err := streams.GetAttach(&v1.AttachRequest{
			ContainerId: r.PathValue("container"),
			Stdin:       wanted.Stdin,
			Stdout:      wanted.Stdout,
			Stderr:      wanted.Stderr,
			Tty:         wanted.TTY,
		})
		serve(w, r, response.GetUrl(), err)
	})
	mux.HandleFunc("/portForward/{namespace}/{pod}", func(w http.ResponseWriter, r *http.Request) {
		response, err := streams.GetPortForward(&v1.PortForwardRequest{PodSandboxId: r.PathValue("pod")})
		serve(w, r, response.GetUrl(), err)
	})
	mux.HandleFunc("/containerLogs/{namespace}/{pod}/{container}", c.serveLogs)
	return mux, nil
}
