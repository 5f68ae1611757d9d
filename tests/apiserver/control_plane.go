package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

// startEtcd starts a store of one member on a free port and waits for it.
func startEtcd(dir string) (*embed.Etcd, error) {
	config := embed.NewConfig()
	config.Dir = dir
	config.LogLevel = "error"
	config.UnsafeNoFsync = true // the data must survive a killed process, not a lost machine
	anyPort := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	config.ListenClientUrls, config.AdvertiseClientUrls = anyPort, anyPort
	config.ListenPeerUrls, config.AdvertisePeerUrls = anyPort, anyPort
	config.InitialCluster = config.InitialClusterFromName(config.Name)

	store, err := embed.StartEtcd(config)
	if err != nil {
		return nil, err
	}
	select {
	case <-store.Server.ReadyNotify():
		return store, nil
	case <-time.After(time.Minute):
		store.Close()
		return nil, errors.New("not ready after a minute")
	}
}

type controlPlane struct {
	address string
	ended   <-chan error // the one value that ends the process
}

// startControlPlane starts the kube-apiserver. Its command handles SIGTERM.
func startControlPlane(o options, f files, store *embed.Etcd) (controlPlane, error) {
	port := o.port
	if port == 0 {
		var err error
		if port, err = freePort(); err != nil {
			return controlPlane{}, err
		}
	}
	args := []string{
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(port),
		// Nobody follows the Service "kubernetes" here, and its endpoints may
		// not be loopback addresses: a documentation address stands in.
		"--advertise-address=192.0.2.1",
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112",
		// Without it an orderly end waits for open watches, a minute long.
		"--shutdown-watch-termination-grace-period=10s",
		"--etcd-servers=http://" + store.Clients[0].Addr().String(),
		"--tls-cert-file=" + f.servingCert,
		"--tls-private-key-file=" + f.servingKey,
		"--client-ca-file=" + f.ca,
		"--kubelet-certificate-authority=" + f.ca,
		"--kubelet-client-certificate=" + f.clientCert,
		"--kubelet-client-key=" + f.clientKey,
		"--authorization-mode=RBAC",
		"--token-auth-file=" + f.tokens,
		"--service-account-issuer=" + server,
		"--service-account-key-file=" + f.serviceAccountKey,
		"--service-account-signing-key-file=" + f.serviceAccountKey,
	}
	if o.egressProxy != "" {
		if err := writeEgressConfig(f, o.egressProxy); err != nil {
			return controlPlane{}, fmt.Errorf("egress: %w", err)
		}
		args = append(args, "--egress-selector-config-file="+f.egressConfig)
	}

	command := app.NewAPIServerCommand()
	command.SetArgs(args)
	ended := make(chan error, 1)
	go func() { ended <- command.Execute() }()
	return controlPlane{net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), ended}, nil
}
