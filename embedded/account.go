package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is who PostgreSQL's programs run as. They refuse to run as root.
type account struct {
	// uid and gid are another user's, 0 where the programs run as ourselves
	// (in a user namespace if need be).
	uid, gid int
	name     string
	// namespaced: as root, seen as an ordinary user from inside a namespace.
	namespaced bool
}

func (a account) other() bool { return a.uid != 0 }

func (a account) String() string {
	if a.namespaced {
		return "root in a user namespace"
	}
	return "the user " + a.name
}

// account says who runs the programs of this cluster: ourselves; as root
// ourselves in a user namespace; where that isn't allowed, another user. An
// existing cluster of another user is run as that user.
func (c *cluster) account(exists bool) (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	if exists {
		info, err := os.Stat(c.data())
		if err != nil {
			return account{}, err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
			return userAccount(strconv.Itoa(int(st.Uid)), osuser.LookupId)
		}
	}
	ns := account{namespaced: true}
	refused := errNoNamespaces
	if refused == nil {
		refused = ns.reach("/")
	}
	if refused == nil {
		return ns, nil
	}
	var acct account
	for _, name := range []string{"postgres", "nobody"} {
		a, err := userAccount(name, osuser.Lookup)
		if err == nil {
			err = a.reach("/")
		}
		if err == nil {
			acct = a
			break
		}
		refused = errors.Join(refused, err)
	}
	if !acct.other() {
		return account{}, fmt.Errorf("PostgreSQL doesn't run as root, and neither a user namespace nor another user can be had: run hotshelf as an ordinary user, or set DATABASE_URL (%w)", refused)
	}
	c.log(fmt.Sprintf("PostgreSQL doesn't run as root: running it as %s", acct))
	if exists {
		// Made by root in a namespace, which isn't to be had any more.
		if !acct.reaches(c.data()) {
			if err := os.Chmod(c.dir, 0o711); err != nil {
				return account{}, err
			}
		}
		if err := acct.ownAll(c.data()); err != nil {
			return account{}, err
		}
		if err := acct.reach(c.data()); err != nil {
			return account{}, fmt.Errorf("%s can't reach %s: %w", acct, c.data(), err)
		}
	}
	return acct, nil
}

func userAccount(key string, lookup func(string) (*osuser.User, error)) (account, error) {
	u, err := lookup(key)
	if err != nil {
		return account{}, err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return account{}, fmt.Errorf("user %s: %w", u.Username, err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return account{}, fmt.Errorf("user %s: %w", u.Username, err)
	}
	if uid == 0 {
		return account{}, fmt.Errorf("user %s is root", u.Username)
	}
	return account{uid: uid, gid: gid, name: u.Username}, nil
}

// attr is how a process of the account is started: in a session of its own.
func (a account) attr() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if a.other() {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	if a.namespaced {
		enterNamespace(attr)
	}
	return attr
}

// reach tries to run a program of the account in a directory.
func (a account) reach(dir string) error {
	cmd := exec.Command("/bin/sh", "-c", ":")
	cmd.SysProcAttr = a.attr()
	cmd.Dir = dir
	return cmd.Run()
}

func (a account) reaches(dir string) bool { return a.reach(dir) == nil }

// own gives a file to the account.
func (a account) own(path string) error {
	if !a.other() {
		return nil
	}
	return os.Lchown(path, a.uid, a.gid)
}

func (a account) ownAll(root string) error {
	return filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return a.own(path)
	})
}
