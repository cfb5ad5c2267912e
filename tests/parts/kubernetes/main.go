// The Kubernetes that our tests run against, in one program: the first argument chooses etcd, a part of the control
// plane, or a part of a node. Every one of them is the upstream code, unchanged. This file only joins them, so that a
// Go module proxy is all it takes to get a real Kubernetes.
//
//	kubernetes PROGRAM [flags of that program]
//	kubernetes key         print a new RSA key in PEM, to sign service account tokens with
package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

var programs = map[string]func(){
	"etcd":                    func() { etcdmain.Main(os.Args) },
	"key":                     printKey,
	"kube-apiserver":          func() { run(apiserver.NewAPIServerCommand()) },
	"kube-controller-manager": func() { run(controllers.NewControllerManagerCommand()) },
	"kube-proxy":              func() { run(proxy.NewProxyCommand()) },
	"kube-scheduler":          func() { run(scheduler.NewSchedulerCommand()) },
	"kubelet":                 func() { run(kubelet.NewKubeletCommand(context.Background())) },
}

func main() {
	name := ""
	if len(os.Args) > 1 {
		name, os.Args = os.Args[1], os.Args[1:]
	}
	program, found := programs[name]
	if !found {
		fmt.Fprintf(os.Stderr, "kubernetes: no program %q: use one of %v\n", name, slices.Sorted(maps.Keys(programs)))
		os.Exit(2)
	}
	program()
}

func run(command *cobra.Command) {
	os.Exit(cli.Run(command))
}

func printKey() {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubernetes: no key:", err)
		os.Exit(1)
	}
	der := x509.MarshalPKCS1PrivateKey(key)
	_ = pem.Encode(os.Stdout, &pem.Block{Type: "RSA PRIVATE KEY", Bytes: der})
}
