//go:build !linux

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"time"
)

// Elsewhere the suites that serve say that they need Linux: it is there that
// processes can be held to a CPU and their time read.
var errLinux = errors.New("this suite runs on Linux only: it needs CPU affinity, epoll and /proc")

type client struct{}

func dial(string, int) (*client, error)                     { return nil, errLinux }
func (*client) close()                                      {}
func (*client) run(context.Context, plan) (*outcome, error) { return nil, errLinux }
func cpusAllowed() ([]int, error)                           { return nil, errLinux }
func pin(int, []int) error                                  { return errLinux }
func startOn(*exec.Cmd, []int) error                        { return errLinux }
func cpuOf(int) (time.Duration, error)                      { return 0, errLinux }
func dropCache(*os.File) error                              { return errLinux }
