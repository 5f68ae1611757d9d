// Command peer does what liqoctl does to peer two clusters in-band, by the same functions of Liqo,
// without liqoctl's dependencies (helm, three clouds):
//
//	peer connect CONSUMER PROVIDER           exchanges Configurations, as `liqoctl network connect`
//	                                         does first; prints the proxy's address in the consumer
//	peer authenticate CONSUMER PROVIDER URL  `liqoctl authenticate --in-band` with that proxy URL
//	peer slice CONSUMER PROVIDER_ID NAME     `liqoctl create resourceslice`; waits until accepted
//	peer remap                               Liqo's mapping of each line `ADDRESS FROM,… TO,…`
//
// CONSUMER and PROVIDER are kubeconfigs.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	authv1beta1 "github.com/liqotech/liqo/apis/authentication/v1beta1"
	liqov1beta1 "github.com/liqotech/liqo/apis/core/v1beta1"
	ipamv1alpha1 "github.com/liqotech/liqo/apis/ipam/v1alpha1"
	networkingv1beta1 "github.com/liqotech/liqo/apis/networking/v1beta1"
	offloadingv1beta1 "github.com/liqotech/liqo/apis/offloading/v1beta1"
	"github.com/liqotech/liqo/pkg/consts"
	authforge "github.com/liqotech/liqo/pkg/liqo-controller-manager/authentication/forge"
	authutils "github.com/liqotech/liqo/pkg/liqo-controller-manager/authentication/utils"
	nwforge "github.com/liqotech/liqo/pkg/liqo-controller-manager/networking/forge"
	tenantnamespace "github.com/liqotech/liqo/pkg/tenantNamespace"
	liqoutils "github.com/liqotech/liqo/pkg/utils"
	"github.com/liqotech/liqo/pkg/utils/getters"
	ipamips "github.com/liqotech/liqo/pkg/utils/ipam/mapping"
	"github.com/liqotech/liqo/pkg/utils/resource"
)

const liqoNs = "liqo"

type cluster struct {
	client.Client
	id liqov1beta1.ClusterID
	ns string
	nm tenantnamespace.Manager
}

var scheme = runtime.NewScheme()

func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func open(ctx context.Context, file string) *cluster {
	cfg := must(clientcmd.BuildConfigFromFlags("", file))
	c := &cluster{Client: must(client.New(cfg, client.Options{Scheme: scheme}))}
	c.nm = tenantnamespace.NewManager(kubernetes.NewForConfigOrDie(cfg), scheme)
	c.id = must(liqoutils.GetClusterIDWithControllerClient(ctx, c, liqoNs))
	return c
}

// poll asks until there is no error, and ends the program when ctx does.
func poll[T any](ctx context.Context, what string, f func() (T, error)) T {
	for {
		v, err := f()
		if err == nil {
			return v
		}
		select {
		case <-ctx.Done():
			check(fmt.Errorf("%s: %w", what, err))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func main() {
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, authv1beta1.AddToScheme,
		liqov1beta1.AddToScheme, ipamv1alpha1.AddToScheme, networkingv1beta1.AddToScheme, offloadingv1beta1.AddToScheme} {
		check(add(scheme))
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	command := os.Args[1]
	if command == "remap" {
		remap()
		return
	}
	consumer := open(ctx, os.Args[2])
	if command == "slice" {
		slice(ctx, consumer, liqov1beta1.ClusterID(os.Args[3]), os.Args[4])
		return
	}
	provider := open(ctx, os.Args[3])
	consumer.ns = must(consumer.nm.CreateNamespace(ctx, provider.id)).Name
	provider.ns = must(provider.nm.CreateNamespace(ctx, consumer.id)).Name
	switch command {
	case "connect":
		connect(ctx, consumer, provider)
	case "authenticate":
		authenticate(ctx, consumer, provider, os.Args[4])
	default:
		check(fmt.Errorf("no such command: %s", command))
	}
}

func connect(ctx context.Context, consumer, provider *cluster) {
	for _, p := range [][2]*cluster{{consumer, provider}, {provider, consumer}} {
		from, to := p[0], p[1]
		conf := must(nwforge.ConfigurationForRemoteCluster(ctx, from, to.ns, liqoNs))
		want := conf.DeepCopy()
		must(resource.CreateOrUpdate(ctx, to.Client, conf, func() error {
			conf.Labels = want.Labels
			conf.Spec.Remote = want.Spec.Remote
			return nil
		}))
	}
	ip := poll(ctx, "IP resource", func() (string, error) {
		var ip ipamv1alpha1.IP
		if err := provider.Get(ctx, types.NamespacedName{Namespace: liqoNs, Name: consts.IPTypeAPIServerProxy}, &ip); err != nil {
			return "", err
		}
		if ip.Status.IP == "" {
			return "", fmt.Errorf("no IP found")
		}
		return string(ip.Status.IP), nil
	})
	fmt.Println(poll(ctx, "configuration remapped", func() (string, error) {
		conf, err := getters.GetConfigurationByClusterID(ctx, consumer, provider.id, consumer.ns)
		if err != nil {
			return "", err
		}
		return ipamips.MapAddressWithConfiguration(conf, ip)
	}))
}

func authenticate(ctx context.Context, consumer, provider *cluster, url string) {
	check(authutils.EnsureNonceSecret(ctx, provider, consumer.id, provider.ns))
	nonce := poll(ctx, "nonce", func() ([]byte, error) { return authutils.RetrieveNonce(ctx, provider, consumer.id, provider.ns) })
	check(authutils.EnsureSignedNonceSecret(ctx, consumer, provider.id, consumer.ns, ptr.To(string(nonce))))
	signed := poll(ctx, "signed nonce", func() ([]byte, error) {
		return authutils.RetrieveSignedNonce(ctx, consumer, provider.id, consumer.ns)
	})
	tenant := must(authutils.GenerateTenant(ctx, consumer, consumer.id, liqoNs, provider.ns, signed, &url))
	wantTenant := tenant.DeepCopy()
	must(resource.CreateOrUpdate(ctx, provider.Client, tenant, func() error {
		tenant.Labels, tenant.Annotations, tenant.Spec = wantTenant.Labels, wantTenant.Annotations, wantTenant.Spec
		return nil
	}))
	identity := poll(ctx, "identity", func() (*authv1beta1.Identity, error) {
		return authutils.GenerateIdentityControlPlane(ctx, provider, consumer.id, consumer.ns, provider.id, &provider.ns)
	})
	wantIdentity := identity.DeepCopy()
	must(resource.CreateOrUpdate(ctx, consumer.Client, identity, func() error {
		identity.Labels, identity.Annotations, identity.Spec = wantIdentity.Labels, wantIdentity.Annotations, wantIdentity.Spec
		return nil
	}))
	poll(ctx, "kubeconfig secret", func() (*corev1.Secret, error) {
		return getters.GetControlPlaneKubeconfigSecretByClusterID(ctx, consumer, provider.id)
	})
}

func slice(ctx context.Context, consumer *cluster, provider liqov1beta1.ClusterID, name string) {
	ns := must(consumer.nm.GetNamespace(ctx, provider)).Name
	rs := authforge.ResourceSlice(name, ns)
	must(resource.CreateOrUpdate(ctx, consumer.Client, rs, func() error {
		return authforge.MutateResourceSlice(rs, provider, &authforge.ResourceSliceOptions{
			Class: "default", Resources: map[corev1.ResourceName]string{"cpu": "1", "memory": "1Gi", "pods": "10"},
		}, false)
	}))
	poll(ctx, "resource slice", func() (bool, error) {
		if err := consumer.Get(ctx, client.ObjectKeyFromObject(rs), rs); err != nil {
			return false, err
		}
		for _, c := range rs.Status.Conditions {
			if c.Type == authv1beta1.ResourceSliceConditionTypeResources && c.Status == authv1beta1.ResourceSliceConditionAccepted {
				return true, nil
			}
		}
		return false, fmt.Errorf("conditions: %v", rs.Status.Conditions)
	})
}

func remap() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		var conf networkingv1beta1.Configuration
		conf.Spec.Remote = networkingv1beta1.ClusterConfig{CIDR: networkingv1beta1.ClusterConfigCIDR{External: cidrs(fields[1])}}
		conf.Status.Remote = &networkingv1beta1.ClusterConfig{CIDR: networkingv1beta1.ClusterConfigCIDR{External: cidrs(fields[2])}}
		meta.SetStatusCondition(&conf.Status.Conditions, metav1.Condition{
			Type: networkingv1beta1.ConfigurationConditionNetworkCIDRsConfigured, Status: metav1.ConditionTrue,
		})
		fmt.Println(must(ipamips.MapAddressWithConfiguration(&conf, fields[0])))
	}
	check(lines.Err())
}

func cidrs(list string) []networkingv1beta1.CIDR {
	var all []networkingv1beta1.CIDR
	for _, cidr := range strings.Split(list, ",") {
		all = append(all, networkingv1beta1.CIDR(cidr))
	}
	return all
}
