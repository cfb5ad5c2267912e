// The Kubernetes control plane our tests run against: etcd, kube-apiserver and kube-controller-manager
// in one program, chosen by the first argument. Every one of them is the upstream code, unchanged;
// this file only joins them so that a Go module proxy is all one needs to get a real API server.
//
//	apiserver etcd|kube-apiserver|kube-controller-manager [flags of that program]
//	apiserver key                 print a new RSA key in PEM, to sign service account tokens with
package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

const usage = "usage: apiserver etcd|kube-apiserver|kube-controller-manager|key [flags]"

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	program := os.Args[1]
	os.Args = os.Args[1:]
	switch program {
	case "etcd":
		etcdmain.Main(os.Args)
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-controller-manager":
		os.Exit(cli.Run(controllers.NewControllerManagerCommand()))
	case "key":
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			fmt.Fprintln(os.Stderr, "apiserver: no key:", err)
			os.Exit(1)
		}
		der := x509.MarshalPKCS1PrivateKey(key)
		_ = pem.Encode(os.Stdout, &pem.Block{Type: "RSA PRIVATE KEY", Bytes: der})
	default:
		fmt.Fprintf(os.Stderr, "apiserver: no program %q\n%s\n", program, usage)
		os.Exit(2)
	}
}
