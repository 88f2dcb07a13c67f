package main

import (
	"fmt"
	"path/filepath"
	"strings"
)

const (
	// serviceRange is where Services get their addresses from.
	serviceRange = "10.223.0.0/24"
	// serviceAddress is the one of the Service `kubernetes`: the first of its range. Tests give it to the bridge of
	// their pods, so that pods reach the API server there.
	serviceAddress = "10.223.0.1"
	issuer         = "https://kubernetes.default.svc.cluster.local"
)

// controllers are those that a cluster without nodes, storage and clouds needs.
var controllers = []string{
	"clusterrole-aggregation-controller", "cronjob-controller", "daemonset-controller", "deployment-controller",
	"disruption-controller", "endpointslice-controller", "garbage-collector-controller", "job-controller",
	"namespace-controller", "replicaset-controller", "root-ca-certificate-publisher-controller",
	"serviceaccount-controller", "ttl-after-finished-controller", "validatingadmissionpolicy-status-controller",
}

// layout is where one cluster has its programs, files and ports.
type layout struct {
	bin, dir                    string
	etcdPort, peerPort, apiPort int
}

func (l layout) file(name string) string { return filepath.Join(l.dir, name) }

func (l layout) server() string { return fmt.Sprintf("https://127.0.0.1:%d", l.apiPort) }

func (l layout) process(name string, args ...string) process {
	return process{name: name, path: filepath.Join(l.bin, name), args: args, dir: l.dir}
}

func (l layout) etcd() process {
	client, peer := fmt.Sprintf("http://127.0.0.1:%d", l.etcdPort), fmt.Sprintf("http://127.0.0.1:%d", l.peerPort)
	return l.process("etcd",
		"--data-dir="+l.file("etcd"), "--listen-client-urls="+client, "--advertise-client-urls="+client,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer,
		// Nobody reads the data after a crash of the machine.
		"--unsafe-no-fsync",
		"--log-level=warn",
	)
}

func (l layout) apiServer() process {
	return l.process("kube-apiserver",
		fmt.Sprintf("--etcd-servers=http://127.0.0.1:%d", l.etcdPort),
		// Pods have network namespaces of their own and come in by their bridge.
		"--bind-address=0.0.0.0", fmt.Sprintf("--secure-port=%d", l.apiPort),
		"--advertise-address="+serviceAddress, "--service-cluster-ip-range="+serviceRange,
		// The Service `kubernetes` has no endpoints, as pods find the server at its address itself.
		"--endpoint-reconciler-type=none",
		"--authorization-mode=RBAC", "--client-ca-file="+l.file("ca.crt"),
		"--tls-cert-file="+l.file("server.crt"), "--tls-private-key-file="+l.file("server.key"),
		"--service-account-issuer="+issuer,
		"--service-account-key-file="+l.file("service-account.key"),
		"--service-account-signing-key-file="+l.file("service-account.key"),
	)
}

func (l layout) controllerManager() process {
	return l.process("kube-controller-manager",
		"--kubeconfig="+l.file("kubeconfig"), "--root-ca-file="+l.file("ca.crt"),
		"--controllers="+strings.Join(controllers, ","),
		"--leader-elect=false",
		// It has no port: nobody asks it anything.
		"--secure-port=0",
		// Tests wait for what it does.
		"--kube-api-qps=500", "--kube-api-burst=1000",
	)
}
