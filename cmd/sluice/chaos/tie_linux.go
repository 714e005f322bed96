package chaos

import "syscall"

// tie has the kernel kill a child when the thread that forked it ends.
func tie(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
