//go:build unix && !linux

package chaos

import "syscall"

// tie is done on Linux only: elsewhere a child outlives a program that is killed.
func tie(*syscall.SysProcAttr) {}
