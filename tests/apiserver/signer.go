package main

import (
	"context"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/kubernetes/pkg/controller/certificates/signer"
)

// startSigner issues what an approved request for a client certificate asks for, as
// kube-controller-manager would, until ctx ends.
func startSigner(ctx context.Context, client kubernetes.Interface, f files) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	requests := factory.Certificates().V1().CertificateSigningRequests()
	controller, err := signer.NewKubeAPIServerClientCSRSigningController(
		ctx, client, requests, f.ca, f.caKey, 24*time.Hour)
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	go controller.Run(ctx, 1)
	return nil
}
