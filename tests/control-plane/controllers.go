// Runs kube-controller-manager within this process, with the controllers that tests look at.

package main

import (
	"context"
	"strings"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	"k8s.io/kubernetes/cmd/kube-controller-manager/names"
)

// Those without which a cluster would conduct itself in another way in a test: owners and namespaces that go, workloads that make their
// Pods, service accounts that have tokens, roles that gather others. Nodes, volumes, scaling and cloud are nobody's here.
var controllers = []string{
	names.ServiceAccountTokenController,
	names.ServiceAccountController,
	names.RootCACertificatePublisherController,
	names.ClusterRoleAggregationController,
	names.NamespaceController,
	names.GarbageCollectorController,
	names.DeploymentController,
	names.ReplicaSetController,
	names.StatefulSetController,
	names.DaemonSetController,
	names.JobController,
	names.CronJobController,
	names.EndpointsController,
	names.EndpointSliceController,
	names.DisruptionController,
	names.ResourceQuotaController,
}

// Runs them until the context ends.
func runControllers(ctx context.Context, credentials *credentials) error {
	if err := credentials.writeControllersKubeconfig(); err != nil {
		return err
	}
	manager, err := options.NewKubeControllerManagerOptions()
	if err != nil {
		return err
	}
	all, disabled, aliases := app.KnownControllers(), app.ControllersDisabledByDefault(), app.ControllerAliases()
	sets := manager.Flags(all, disabled, aliases)
	flags := pflag.NewFlagSet("kube-controller-manager", pflag.ContinueOnError)
	for _, set := range sets.FlagSets {
		flags.AddFlagSet(set)
	}
	manager.ParsedFlags = &sets
	if err := flags.Parse([]string{
		"--kubeconfig=" + credentials.controllersKubeconfig(),
		"--secure-port=0",
		"--leader-elect=false",
		"--controllers=" + strings.Join(controllers, ","),
		"--service-account-private-key-file=" + credentials.serviceAccountKey(),
		"--root-ca-file=" + credentials.certificate(),
		"--profiling=false",
	}); err != nil {
		return err
	}
	config, err := manager.Config(ctx, all, disabled, aliases)
	if err != nil {
		return err
	}
	return app.Run(ctx, config.Complete())
}

// Waits until the controllers have done their first work: the default namespace has its service account.
func controllersReady(ctx context.Context, credentials *credentials, ended <-chan error) error {
	return until(ctx, ended, "kube-controller-manager does nothing", func(ctx context.Context) error {
		config, err := credentials.client()
		if err != nil {
			return err
		}
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return err
		}
		_, err = client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}
