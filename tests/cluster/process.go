package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// No faster than this, so that a program that cannot start does not fill the disk with its log.
const restartPause = 200 * time.Millisecond

// process is a program that is started again whenever it ends, until its context does.
type process struct {
	name string
	path string
	args []string
	dir  string
}

// supervise runs the program until ctx ends; it is gone when supervise returns. Its output goes to DIR/NAME.log, its
// id to DIR/NAME.pid.
func (p process) supervise(ctx context.Context) {
	for ctx.Err() == nil {
		if err := p.runOnce(ctx); err != nil && ctx.Err() == nil {
			fmt.Fprintf(os.Stderr, "cluster: %s ended (%v); starting it again\n", p.name, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(restartPause):
		}
	}
}

func (p process) runOnce(ctx context.Context) error {
	log, err := os.OpenFile(p.file("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	// Killed, not asked, when the context ends: nothing of it is used again, and an API server waits for its watchers.
	command := exec.CommandContext(ctx, p.path, p.args...)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		return err
	}
	if err := os.WriteFile(p.file("pid"), []byte(strconv.Itoa(command.Process.Pid)), 0o644); err != nil {
		return err
	}
	return command.Wait()
}

func (p process) file(extension string) string {
	return filepath.Join(p.dir, p.name+"."+extension)
}
