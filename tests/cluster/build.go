package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// programs are the packages that are built, by the name of their program; go.mod's tool lines hold their versions.
var programs = []struct{ name, pkg string }{
	{"etcd", "go.etcd.io/etcd/server/v3"},
	{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"},
	{"kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"},
	{"kubectl", "k8s.io/kubernetes/cmd/kubectl"},
	{"helm", "helm.sh/helm/v4/cmd/helm"},
}

// build makes sure that all programs are in the cache, and gives their folder.
func build(ctx context.Context) (string, error) {
	module, err := moduleFolder(ctx)
	if err != nil {
		return "", err
	}
	root, err := cacheRoot()
	if err != nil {
		return "", err
	}
	name, err := versions(module)
	if err != nil {
		return "", err
	}
	held, err := lock(root)
	if err != nil {
		return "", err
	}
	defer held.Close()
	done := filepath.Join(root, name)
	if _, err := os.Stat(done); errors.Is(err, fs.ErrNotExist) {
		err = buildInto(ctx, module, root, done)
		if err != nil {
			return "", err
		}
	}
	return filepath.Join(done, "bin"), prune(root, name, time.Now())
}

// buildInto builds into a folder beside done, which becomes done when it is complete.
func buildInto(ctx context.Context, module, root, done string) error {
	started := time.Now()
	partial, err := os.MkdirTemp(root, "partial-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(partial)
	flags, err := versionFlags(ctx, module)
	if err != nil {
		return err
	}
	for i, program := range programs {
		fmt.Fprintf(os.Stderr, "cluster: building %s (%d of %d)\n", program.name, i+1, len(programs))
		target := filepath.Join(partial, "bin", program.name)
		if err := goCommand(ctx, module, "build", "-trimpath", "-ldflags", flags, "-o", target, program.pkg).Run(); err != nil {
			return fmt.Errorf("building %s: %w", program.name, err)
		}
	}
	if err := os.Rename(partial, done); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "cluster: built in %s\n", time.Since(started).Round(time.Second))
	return nil
}

// versionFlags tell the programs which release they are, as the project's own builds do; Helm compares it with what a
// chart asks for.
func versionFlags(ctx context.Context, module string) (string, error) {
	command := goCommand(ctx, module, "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes")
	command.Stdout = nil
	listed, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("asking for the version of Kubernetes: %w", err)
	}
	version := strings.TrimSpace(string(listed))
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) != 3 {
		return "", fmt.Errorf("the version of Kubernetes is %q", version)
	}
	const variable = " -X k8s.io/component-base/version."
	return "-s -w" + variable + "gitVersion=" + version + variable + "gitMajor=" + parts[0] + variable + "gitMinor=" + parts[1], nil
}

// moduleFolder is where this command's own go.mod is: it runs by `go run`, in or with -C its folder.
func moduleFolder(ctx context.Context) (string, error) {
	command := goCommand(ctx, "", "env", "GOMOD")
	command.Stdout = nil
	file, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("asking go for its module: %w", err)
	}
	folder := filepath.Dir(strings.TrimSpace(string(file)))
	if filepath.Base(folder) != "cluster" {
		return "", fmt.Errorf("run it by `go run -C tests/cluster .`: %s is another module", folder)
	}
	return folder, nil
}

func goCommand(ctx context.Context, folder string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir = folder
	// Static programs, and no C compiler needed.
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly -buildvcs=false")
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	return command
}
