// Runs etcd within this process, on a free port.

package main

import (
	"context"
	"errors"
	"net/url"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

type etcd struct {
	server   *embed.Etcd
	endpoint string
}

// Starts etcd with its data in DIR/etcd, and answers when it serves.
func startEtcd(ctx context.Context, dir string) (*etcd, error) {
	config := embed.NewConfig()
	config.Dir = filepath.Join(dir, "etcd")
	config.LogLevel = "error"
	config.LogOutputs = []string{"stderr"}
	// A test's cluster need not survive a power cut; what a killed process wrote is with the system.
	config.UnsafeNoFsync = true
	free := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	config.ListenClientUrls = []url.URL{free}
	config.AdvertiseClientUrls = []url.URL{free}
	config.ListenPeerUrls = []url.URL{free}
	config.AdvertisePeerUrls = []url.URL{free}
	config.InitialCluster = config.InitialClusterFromName(config.Name)

	server, err := embed.StartEtcd(config)
	if err != nil {
		return nil, err
	}
	select {
	case <-server.Server.ReadyNotify():
	case <-ctx.Done():
		server.Close()
		return nil, ctx.Err()
	case <-time.After(patience):
		server.Close()
		return nil, errors.New("it does not become ready")
	}
	return &etcd{server: server, endpoint: "http://" + server.Clients[0].Addr().String()}, nil
}

// Closes the store, but waits no longer than a farewell may take.
func (store *etcd) close() {
	closed := make(chan struct{})
	go func() {
		store.server.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(farewell):
	}
}
