package main

import (
	"encoding/json"
	"os"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// writeFiles writes certificates, keys, the administrator's kubeconfig and cluster.json.
func (l layout) writeFiles() error {
	authority, err := newAuthority()
	if err != nil {
		return err
	}
	server, err := authority.server()
	if err != nil {
		return err
	}
	// Only its key is used: it signs the tokens of service accounts.
	signer, err := newAuthority()
	if err != nil {
		return err
	}
	for name, pair := range map[string]pair{"ca": authority, "server": server, "service-account": signer} {
		if err := pair.write(l.file(name)); err != nil {
			return err
		}
	}
	admin, err := authority.admin()
	if err != nil {
		return err
	}
	return l.writeKubeconfig(authority, admin)
}

func (l layout) writeKubeconfig(authority, admin pair) error {
	key, err := admin.keyPEM()
	if err != nil {
		return err
	}
	const name = "weir-tests"
	config := api.NewConfig()
	config.Clusters[name] = &api.Cluster{Server: l.server(), CertificateAuthorityData: authority.certificatePEM()}
	config.AuthInfos[name] = &api.AuthInfo{ClientCertificateData: admin.certificatePEM(), ClientKeyData: key}
	config.Contexts[name] = &api.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	return clientcmd.WriteToFile(*config, l.file("kubeconfig"))
}

// describe writes cluster.json, which tells tests what is where.
func (l layout) describe() error {
	text, err := json.MarshalIndent(map[string]any{
		"bin":            l.bin,
		"kubeconfig":     l.file("kubeconfig"),
		"ca":             l.file("ca.crt"),
		"server":         l.server(),
		"port":           l.apiPort,
		"serviceAddress": serviceAddress,
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(l.file("cluster.json"), append(text, '\n'), 0o644)
}
