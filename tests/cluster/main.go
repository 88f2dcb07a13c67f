// Command cluster builds and runs a real Kubernetes API for Weir's tests: etcd, kube-apiserver and
// kube-controller-manager, with kubectl and helm to talk to it. There are no nodes and no kubelet; the tests run pods
// themselves.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage:
  cluster build         build the programs into the cache, and print the folder
  cluster up --dir DIR  build if needed, start a cluster that keeps its files in DIR, print "ready",
                        and run until standard input ends or a signal comes

The cache is WEIR_TEST_CACHE, or else weir-tests in the user's cache folder.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 1 && args[0] == "build" {
		bin, err := build(ctx)
		if err == nil {
			fmt.Println(bin)
		}
		return err
	}
	if len(args) == 3 && args[0] == "up" && args[1] == "--dir" {
		return up(ctx, args[2])
	}
	return flag.ErrHelp
}
