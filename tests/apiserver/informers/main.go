// Command informers watches the ConfigMaps of a namespace with many clients at
// once, each over a connection of its own, as controllers do.
//
// It prints a line of JSON (type report) once every client has listed and
// watches, and one for each ConfigMap as soon as the last client has seen it.
// It ends when its stdin does.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubeinformers "k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

type report struct {
	Seen        string  `json:"seen"`        // the ConfigMap; empty in the first report
	Dials       []int64 `json:"dials"`       // connections that each client has opened so far
	OldResponse bool    `json:"oldResponse"` // whether any response was not HTTP/2
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "file")
	namespace := flag.String("namespace", metav1.NamespaceDefault, "to watch")
	count := flag.Int("count", 50, "of clients")
	flag.Parse()

	if err := run(*kubeconfig, *namespace, *count); err != nil {
		fmt.Fprintln(os.Stderr, "informers:", err)
		os.Exit(1)
	}
}

func run(kubeconfig, namespace string, count int) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	all := &watchers{dials: make([]atomic.Int64, count), seen: map[string]int{}}
	for i := range count {
		config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
		if err != nil {
			return err
		}
		if err := all.start(ctx, config, namespace, &all.dials[i]); err != nil {
			return err
		}
	}
	all.report("")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

type watchers struct {
	dials       []atomic.Int64 // of each client
	oldResponse atomic.Bool

	mu   sync.Mutex
	seen map[string]int // clients by ConfigMap
}

// start starts one more client and waits until it has listed and watches.
func (all *watchers) start(ctx context.Context, config *rest.Config, namespace string, dials *atomic.Int64) error {
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	config.Wrap(all.checkVersion)
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	if _, err := client.CoreV1().ConfigMaps(namespace).List(ctx, metav1.ListOptions{}); err != nil {
		return err
	}

	factory := kubeinformers.NewSharedInformerFactoryWithOptions(client, 0, kubeinformers.WithNamespace(namespace))
	informer := factory.Core().V1().ConfigMaps().Informer()
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: all.add}); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	return nil
}

func (all *watchers) checkVersion(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(request)
		if err == nil && response.ProtoMajor != 2 {
			all.oldResponse.Store(true)
		}
		return response, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

func (all *watchers) add(object any) {
	name := object.(*corev1.ConfigMap).Name
	all.mu.Lock()
	all.seen[name]++
	clients := all.seen[name]
	all.mu.Unlock()
	if clients == len(all.dials) {
		all.report(name)
	}
}

func (all *watchers) report(seen string) {
	r := report{Seen: seen, OldResponse: all.oldResponse.Load()}
	for i := range all.dials {
		r.Dials = append(r.Dials, all.dials[i].Load())
	}
	_ = json.NewEncoder(os.Stdout).Encode(r)
}
