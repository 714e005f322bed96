//go:build unix

package feed

import "syscall"

// writable reports whether this process may make files in a folder.
func writable(folder string) bool {
	const write, search = 2, 1
	return syscall.Access(folder, write|search) == nil
}
