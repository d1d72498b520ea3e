// Makes the keys and tokens of a cluster, and the kubeconfig of its administrator.

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/keyutil"
)

// The administrator's kubeconfig within DIR; once it is there, the cluster is ready.
const kubeconfigName = "kubeconfig"

type credentials struct {
	dir   string
	port  int
	token string
}

// Makes what is not in the folder yet: what stands there belongs to the same cluster, started again.
func newCredentials(dir string, port int) (*credentials, error) {
	made := &credentials{dir: dir, port: port}
	if _, err := os.Stat(made.serviceAccountKey()); errors.Is(err, fs.ErrNotExist) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		text, err := keyutil.MarshalPrivateKeyToPEM(key)
		if err != nil {
			return nil, err
		}
		if err := keyutil.WriteKey(made.serviceAccountKey(), text); err != nil {
			return nil, err
		}
	}
	line, err := os.ReadFile(made.tokens())
	if errors.Is(err, fs.ErrNotExist) {
		random := make([]byte, 16)
		if _, err := rand.Read(random); err != nil {
			return nil, err
		}
		line = []byte(hex.EncodeToString(random) + ",admin,admin,system:masters\n")
		err = os.WriteFile(made.tokens(), line, 0o600)
	}
	if err != nil {
		return nil, err
	}
	token, _, found := strings.Cut(string(line), ",")
	if !found {
		return nil, fmt.Errorf("%s has no token in its first line", made.tokens())
	}
	made.token = token
	return made, nil
}

func (made *credentials) serviceAccountKey() string {
	return filepath.Join(made.dir, "service-account.key")
}

func (made *credentials) tokens() string { return filepath.Join(made.dir, "tokens.csv") }

// The API server's own certificate with the authority that signed it; the API server makes it.
func (made *credentials) certificate() string { return filepath.Join(made.dir, "apiserver.crt") }

func (made *credentials) controllersKubeconfig() string {
	return filepath.Join(made.dir, "controllers.kubeconfig")
}

func (made *credentials) server() string { return fmt.Sprintf("https://127.0.0.1:%d", made.port) }

// How this process itself reaches the API server.
func (made *credentials) client() (*rest.Config, error) {
	if _, err := os.Stat(made.certificate()); err != nil {
		return nil, err
	}
	return &rest.Config{
		Host:            made.server(),
		BearerToken:     made.token,
		TLSClientConfig: rest.TLSClientConfig{CAFile: made.certificate()},
	}, nil
}

func (made *credentials) kubeconfig() (*clientcmdapi.Config, error) {
	authority, err := os.ReadFile(made.certificate())
	if err != nil {
		return nil, err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["cluster"] = &clientcmdapi.Cluster{Server: made.server(), CertificateAuthorityData: authority}
	config.AuthInfos["admin"] = &clientcmdapi.AuthInfo{Token: made.token}
	config.Contexts["admin"] = &clientcmdapi.Context{Cluster: "cluster", AuthInfo: "admin"}
	config.CurrentContext = "admin"
	return config, nil
}

func (made *credentials) writeControllersKubeconfig() error {
	config, err := made.kubeconfig()
	if err != nil {
		return err
	}
	return clientcmd.WriteToFile(*config, made.controllersKubeconfig())
}

// Writes the administrator's kubeconfig, whole or not at all.
func (made *credentials) publishKubeconfig() error {
	config, err := made.kubeconfig()
	if err != nil {
		return err
	}
	whole := filepath.Join(made.dir, kubeconfigName)
	if err := clientcmd.WriteToFile(*config, whole+".partial"); err != nil {
		return err
	}
	return os.Rename(whole+".partial", whole)
}
