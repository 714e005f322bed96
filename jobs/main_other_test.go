//go:build !linux

package jobs_test

import "syscall"

func dieWithParent() *syscall.SysProcAttr { return nil }
