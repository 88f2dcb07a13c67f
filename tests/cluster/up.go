package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Much longer than a start takes on a loaded machine.
const startLimit = 2 * time.Minute

// up runs a cluster until ctx or standard input ends; nothing of it runs any more when up returns.
func up(ctx context.Context, dir string) error {
	l, err := prepare(ctx, dir)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	go func() {
		// Whoever started it holds the other end, and closes it even when it is killed.
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	started := time.Now()
	for _, process := range []process{l.etcd(), l.apiServer()} {
		running.Go(func() { process.supervise(ctx) })
	}
	if err := l.ready(ctx); err != nil {
		return err
	}
	running.Go(func() { l.controllerManager().supervise(ctx) })
	if err := l.describe(); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "cluster: ready after %s\n", time.Since(started).Round(time.Millisecond))
	fmt.Println("ready")
	<-ctx.Done()
	return nil
}

// prepare builds the programs if needed, and makes the folder with its files.
func prepare(ctx context.Context, dir string) (layout, error) {
	bin, err := build(ctx)
	if err != nil {
		return layout{}, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return layout{}, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return layout{}, err
	}
	l := layout{bin: bin, dir: dir}
	for _, port := range []*int{&l.etcdPort, &l.peerPort, &l.apiPort} {
		if *port, err = freePort(); err != nil {
			return layout{}, err
		}
	}
	return l, l.writeFiles()
}

// ready waits until the API server is.
func (l layout) ready(ctx context.Context) error {
	authority, err := os.ReadFile(l.file("ca.crt"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit,
		fmt.Errorf("kube-apiserver is not ready after %s: see %s", startLimit, l.file("kube-apiserver.log")))
	defer cancel()
	for ctx.Err() == nil {
		if isReady(ctx, &client, l.server()+"/readyz") {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return context.Cause(ctx)
}

func isReady(ctx context.Context, client *http.Client, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}
