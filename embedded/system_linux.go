package embedded

import (
	"errors"
	"io/fs"
	"os"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// errNoNamespaces is nil where root can try a user namespace.
var errNoNamespaces error

// enterNamespace makes the process see our user as an ordinary one. To the
// rest of the system it stays ours: its files are our files. The id inside has
// to have a name, which initdb asks for.
func enterNamespace(attr *syscall.SysProcAttr) {
	uid, gid := 65534, 65534
	for _, name := range []string{"postgres", "nobody"} {
		if a, err := userAccount(name, osuser.Lookup); err == nil {
			uid, gid = a.uid, a.gid
			break
		}
	}
	attr.Cloneflags = syscall.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Geteuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: os.Getegid(), Size: 1}}
}

// dieWithParent has the kernel end the postmaster with the thread that started
// it: an immediate shutdown, its children included.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGQUIT }

// runsCluster says whether the process is a PostgreSQL of the cluster in data,
// which is its working directory. Where we may not see that, the program's
// name decides.
func runsCluster(pid int, data string) bool {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	name, err := os.ReadFile(filepath.Join(proc, "comm"))
	if err != nil || !strings.HasPrefix(string(name), "postgres") && !strings.HasPrefix(string(name), "postmaster") {
		return false
	}
	cwd, err := os.Stat(filepath.Join(proc, "cwd"))
	if err != nil {
		return errors.Is(err, fs.ErrPermission)
	}
	info, err := os.Stat(data)
	return err == nil && os.SameFile(cwd, info)
}
