// Runs kube-apiserver within this process.

package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/spf13/pflag"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

// Runs it until the context ends.
func runAPIServer(ctx context.Context, credentials *credentials, listener net.Listener, store string, more []string) error {
	server := options.NewServerRunOptions()
	flags := pflag.NewFlagSet("kube-apiserver", pflag.ContinueOnError)
	for _, set := range server.Flags().FlagSets {
		flags.AddFlagSet(set)
	}
	wanted := append([]string{
		"--etcd-servers=" + store,
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		// A loopback address is no endpoint for the service `kubernetes`.
		"--endpoint-reconciler-type=none",
		"--cert-dir=" + credentials.dir,
		"--token-auth-file=" + credentials.tokens(),
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + credentials.serviceAccountKey(),
		"--service-account-signing-key-file=" + credentials.serviceAccountKey(),
		"--service-cluster-ip-range=10.0.0.0/16",
		"--allow-privileged=true",
		"--profiling=false",
	}, more...)
	if err := flags.Parse(wanted); err != nil {
		return err
	}
	server.SecureServing.Listener = listener
	server.SecureServing.BindPort = credentials.port
	if err := server.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return err
	}
	// As kube-apiserver itself does: its own clients need no warnings about old API versions.
	rest.SetDefaultWarningHandler(rest.NoWarnings{})

	completed, err := server.Complete(ctx)
	if err != nil {
		return err
	}
	if errs := completed.Validate(); len(errs) > 0 {
		return utilerrors.NewAggregate(errs)
	}
	return app.Run(ctx, completed)
}

// Waits until the API server says that it is ready.
func ready(ctx context.Context, credentials *credentials, ended <-chan error) error {
	return until(ctx, ended, "kube-apiserver is not ready", func(ctx context.Context) error {
		// The certificate stands there only once the server has made it.
		config, err := credentials.client()
		if err != nil {
			return err
		}
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return err
		}
		return client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// Asks again and again, until there is no error any more, a part ends, or it took too long.
func until(ctx context.Context, ended <-chan error, what string, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
