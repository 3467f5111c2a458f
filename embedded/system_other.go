//go:build !linux

package embedded

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

var errNoNamespaces = errors.New("this system has no user namespaces")

func enterNamespace(*syscall.SysProcAttr) {}

func dieWithParent(*syscall.SysProcAttr) {}

// runsCluster says whether the process is a PostgreSQL. That it is the one of
// this cluster can't be seen everywhere; PostgreSQL's own checks stay behind.
func runsCluster(pid int, _ string) bool {
	name, err := exec.Command("ps", "-o", "comm=", "-p", strconv.Itoa(pid)).Output()
	base := filepath.Base(strings.TrimSpace(string(name)))
	return err == nil && (base == "postgres" || base == "postmaster")
}
