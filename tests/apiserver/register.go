package main

import (
	"context"
	"net"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	core "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	nodeName      = "node"
	podName       = "pod"
	containerName = "main"
	namespace     = metav1.NamespaceDefault
)

// register waits for the API server and tells it of the node at the given
// address and of the pod that runs there. It does so until it succeeds: the
// API server makes the namespace itself, some time after it starts to listen.
func register(ctx context.Context, client kubernetes.Interface, kubelet net.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		err := applyAll(ctx, client, kubelet.(*net.TCPAddr))
		if err == nil {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

func applyAll(ctx context.Context, client kubernetes.Interface, kubelet *net.TCPAddr) error {
	if _, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx); err != nil {
		return err
	}
	as := metav1.ApplyOptions{FieldManager: "kubelet", Force: true}

	nodes := client.CoreV1().Nodes()
	if _, err := nodes.Apply(ctx, core.Node(nodeName), as); err != nil {
		return err
	}
	node := core.Node(nodeName).WithStatus(core.NodeStatus().
		WithAddresses(core.NodeAddress().WithType(corev1.NodeInternalIP).WithAddress(kubelet.IP.String())).
		WithDaemonEndpoints(core.NodeDaemonEndpoints().
			WithKubeletEndpoint(core.DaemonEndpoint().WithPort(int32(kubelet.Port)))))
	if _, err := nodes.ApplyStatus(ctx, node, as); err != nil {
		return err
	}

	// No pod is admitted without its service account, which a controller
	// manager would have made.
	account := core.ServiceAccount("default", namespace)
	if _, err := client.CoreV1().ServiceAccounts(namespace).Apply(ctx, account, as); err != nil {
		return err
	}
	pods := client.CoreV1().Pods(namespace)
	pod := core.Pod(podName, namespace).WithSpec(core.PodSpec().
		WithNodeName(nodeName).
		WithAutomountServiceAccountToken(false).
		WithContainers(core.Container().WithName(containerName).WithImage("none").WithStdin(true)))
	if _, err := pods.Apply(ctx, pod, as); err != nil {
		return err
	}
	_, err := pods.ApplyStatus(ctx, core.Pod(podName, namespace).WithStatus(runningPod()), as)
	return err
}

func runningPod() *core.PodStatusApplyConfiguration {
	started := metav1.Now()
	return core.PodStatus().
		WithPhase(corev1.PodRunning).
		WithConditions(core.PodCondition().WithType(corev1.PodReady).WithStatus(corev1.ConditionTrue)).
		WithContainerStatuses(core.ContainerStatus().
			WithName(containerName).WithImage("none").WithImageID("none").WithContainerID("test://" + containerName).
			WithReady(true).WithStarted(true).WithRestartCount(0).
			WithState(core.ContainerState().WithRunning(core.ContainerStateRunning().WithStartedAt(started))))
}
