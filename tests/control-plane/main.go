// Runs one real Kubernetes control plane in one process, for tests: etcd, the API server and the controllers, without a kubelet.
//
// It answers on a loopback address alone, with RBAC on, and writes DIR/kubeconfig (an administrator's) when it is ready: whoever waits for that
// file need not ask further. It ends on SIGTERM, SIGINT, or when its standard input is closed, so it never outlives the test that holds
// the other end. What it keeps stands in DIR: started again there, with the same port, it is the same cluster.
//
//	main.go         flags, start, readiness, end
//	etcd.go         the store
//	apiserver.go    kube-apiserver
//	controllers.go  kube-controller-manager, with the controllers that tests look at
//	credentials.go  keys, tokens, the kubeconfig
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // for a CronJob's time zone, where the machine has none

	"k8s.io/klog/v2"
)

// How long the parts may take to end before the process ends without them.
const farewell = 2 * time.Second

// How long a start may take on a busy machine.
const patience = 3 * time.Minute

// What the command line asks for.
type arguments struct {
	dir            string
	port           int
	remove         bool
	controllers    bool
	apiServerFlags repeated
}

// A flag that may stand several times.
type repeated []string

func (values *repeated) String() string { return strings.Join(*values, " ") }

func (values *repeated) Set(value string) error {
	*values = append(*values, value)
	return nil
}

func main() {
	var args arguments
	flag.StringVar(&args.dir, "dir", "", "folder for everything that is kept; made if absent (needed)")
	flag.IntVar(&args.port, "port", 0, "port of the API server on 127.0.0.1; 0 takes a free one")
	flag.BoolVar(&args.remove, "remove", false, "remove the folder at the end")
	flag.BoolVar(&args.controllers, "controllers", true, "run the controllers, not the API server alone")
	flag.Var(&args.apiServerFlags, "apiserver-flag", "one more flag for kube-apiserver, as it stands there; may be repeated")
	flag.Parse()
	if args.dir == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: control-plane --dir DIR [flags]; it ends when its standard input is closed")
		flag.PrintDefaults()
		os.Exit(2)
	}
	if err := run(args); err != nil {
		fmt.Fprintln(os.Stderr, "control-plane:", err)
		os.Exit(1)
	}
}

func run(args arguments) error {
	klog.LogToStderr(true)
	dir, err := filepath.Abs(args.dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if args.remove {
		defer os.RemoveAll(dir)
	}
	// One that is left of an earlier run would say that this one is ready.
	if err := os.RemoveAll(filepath.Join(dir, kubeconfigName)); err != nil {
		return err
	}
	ctx, end := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer end()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		end()
	}()

	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", args.port))
	if err != nil {
		return fmt.Errorf("the port is taken: %w", err)
	}
	credentials, err := newCredentials(dir, listener.Addr().(*net.TCPAddr).Port)
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	store, err := startEtcd(ctx, dir)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	defer store.close()

	ended := make(chan error, 2)
	go func() {
		ended <- named("kube-apiserver", runAPIServer(ctx, credentials, listener, store.endpoint, args.apiServerFlags))
	}()
	if err := ready(ctx, credentials, ended); err != nil {
		return err
	}
	running := 1
	if args.controllers {
		running++
		go func() { ended <- named("kube-controller-manager", runControllers(ctx, credentials)) }()
		if err := controllersReady(ctx, credentials, ended); err != nil {
			return err
		}
	}
	if err := credentials.publishKubeconfig(); err != nil {
		return err
	}

	select {
	case <-ctx.Done():
	case err := <-ended:
		return err
	}
	timeout := time.After(farewell)
	for ; running > 0; running-- {
		select {
		case <-ended:
		case <-timeout:
			return nil
		}
	}
	return nil
}

// A part that ends by itself has failed, whatever it says.
func named(part string, err error) error {
	if err == nil {
		return fmt.Errorf("%s has ended", part)
	}
	return fmt.Errorf("%s: %w", part, err)
}
